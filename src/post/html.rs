//! Text out of the HTML that some platforms publish (Mastodon's `content`, for one).

use html2text::render::TrivialDecorator;

/// Wide enough that the renderer never breaks a line by itself.
const WIDTH: usize = 1 << 20;

/// The text a reader sees: tags gone, entities decoded, paragraphs and breaks as line breaks.
pub(super) fn to_text(html: &str) -> String {
    let rendered = html2text::config::with_decorator(TrivialDecorator::new()).string_from_read(html.as_bytes(), WIDTH);
    // The only error is a width too narrow for the content; the text then stands as it came.
    rendered.map_or_else(|_| html.to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn takes_out_tags_and_decodes_entities() {
        assert_eq!(
            to_text("<p>so &lt;happy&gt; &amp; <b>proud</b><br>today &#x1F600;</p>"),
            "so <happy> & proud\ntoday 😀"
        );
        assert_eq!(to_text("<p>with <a href=\"https://example.org/a\">a link</a></p>"), "with a link");
        assert_eq!(to_text("plain"), "plain");
        assert_eq!(to_text(""), "");
    }
}
