//! Text out of the HTML that some platforms publish (Mastodon's `content`), and out of its entities (X's `text`).

use std::borrow::Cow;

use html2text::render::TrivialDecorator;

/// Wide enough that the renderer never breaks a line by itself.
const WIDTH: usize = 1 << 20;

/// The text a reader sees: tags gone, entities decoded, paragraphs and breaks as line breaks.
pub(super) fn to_text(html: &str) -> String {
    let rendered = html2text::config::with_decorator(TrivialDecorator::new()).string_from_read(html.as_bytes(), WIDTH);
    // The only error is a width too narrow for the content; the text then stands as it came.
    rendered.map_or_else(|_| html.to_owned(), |text| text.trim().to_owned())
}

/// Plain text with its entities decoded, once: a written `&amp;lt;` was typed as `&lt;`.
pub(super) fn unescape(text: String) -> String {
    match html_escape::decode_html_entities(&text) {
        Cow::Owned(decoded) => decoded,
        Cow::Borrowed(_) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{to_text, unescape};

    #[test]
    fn entities_are_decoded_once_and_nothing_else_changes() {
        let cases = [
            ("I &lt;3 tea &amp; cake\n\n &gt; all", "I <3 tea & cake\n\n > all"),
            ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
            ("R&D <b>as typed</b> & more; &", "R&D <b>as typed</b> & more; &"),
            ("&#39;&#x1F600;", "'😀"),
            ("", ""),
        ];
        for (escaped, text) in cases {
            assert_eq!(unescape(escaped.to_owned()), text, "{escaped}");
        }
    }

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
