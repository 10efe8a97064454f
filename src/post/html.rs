//! Text out of the HTML that some platforms publish (Mastodon's `content`), and out of its entities (X's `text`).
//!
//! Tags are read one after the other and no tree is built: a tree of a hundred thousand tags that nobody
//! closes takes minutes, and one such record would hold up its lane (I7).

use std::borrow::Cow;
use std::convert::Infallible;

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

/// The text a reader sees: tags gone, entities decoded, paragraphs and breaks as line breaks, other white
/// space as in a browser.
pub(super) fn to_text(html: &str) -> String {
    let mut page = Page::default();
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| -> Option<Infallible> {
        page.take(&event);
        None
    });
    // So that scripts and styles are told from text.
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(html, emitter).finish();
    page.text
}

/// Plain text with its entities decoded, once: a written `&amp;lt;` was typed as `&lt;`.
pub(super) fn unescape(text: String) -> String {
    match html_escape::decode_html_entities(&text) {
        Cow::Owned(decoded) => decoded,
        Cow::Borrowed(_) => text,
    }
}

/// The text so far, and what stands between it and the next word.
#[derive(Default)]
struct Page {
    text: String,
    /// Line breaks due before the next word.
    breaks: usize,
    /// White space due after those.
    space: String,
    /// Preformatted elements that are open.
    preformatted: usize,
    /// Inside a script or a style sheet, which hold neither tags nor text.
    hidden: bool,
}

impl Page {
    fn take(&mut self, event: &CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name: b"br" } => self.line(self.breaks + 1),
            CallbackEvent::OpenStartTag { name } => {
                self.separate(name);
                self.preformatted += usize::from(*name == b"pre");
                self.hidden = matches!(*name, b"script" | b"style");
            }
            CallbackEvent::EndTag { name } => {
                self.separate(name);
                self.preformatted = self.preformatted.saturating_sub(usize::from(*name == b"pre"));
                self.hidden = false;
            }
            // What was valid UTF-8 comes out as valid UTF-8.
            CallbackEvent::String { value } if !self.hidden => self.write(&String::from_utf8_lossy(value)),
            _ => {}
        }
    }

    /// The beginning or the end of an element separates words as a browser shows it.
    fn separate(&mut self, element: &[u8]) {
        match element {
            b"p" | b"blockquote" | b"pre" | b"ul" | b"ol" | b"dl" | b"table" | b"hr" | b"h1" | b"h2" | b"h3"
            | b"h4" | b"h5" | b"h6" => self.line(self.breaks.max(2)),
            b"div" | b"li" | b"dt" | b"dd" | b"tr" | b"section" | b"article" | b"header" | b"footer" | b"figure"
            | b"figcaption" | b"details" | b"summary" => self.line(self.breaks.max(1)),
            b"td" | b"th" => self.gap(),
            _ => {}
        }
    }

    fn write(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '\n' if self.preformatted > 0 => self.line(self.breaks + 1),
                ' ' | '\t' if self.preformatted > 0 => self.space.push(letter),
                ' ' | '\t' | '\n' | '\r' | '\x0c' => self.gap(),
                letter => {
                    // Nothing is due before the first word.
                    if !self.text.is_empty() {
                        self.text.extend(std::iter::repeat_n('\n', self.breaks));
                        self.text.push_str(&self.space);
                    }
                    self.line(0);
                    self.text.push(letter);
                }
            }
        }
    }

    /// So many line breaks are due, and no white space after them yet.
    fn line(&mut self, breaks: usize) {
        self.breaks = breaks;
        self.space.clear();
    }

    /// A space is due, unless a line begins.
    fn gap(&mut self) {
        if self.breaks == 0 && self.space.is_empty() {
            self.space.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{to_text, unescape};

    #[test]
    fn takes_out_tags_and_decodes_entities() {
        let cases = [
            ("<p>so &lt;happy&gt; &amp; <b>proud</b><br>today &#x1F600;</p>", "so <happy> & proud\ntoday 😀"),
            ("<p>with <a href=\"https://example.org/a\">a link</a></p>", "with a link"),
            ("plain", "plain"),
            ("", ""),
            ("<p>one</p><p>two<br /></p><ul><li>a</li><li>b</li></ul>end", "one\n\ntwo\n\na\nb\n\nend"),
            ("  a \n b<i> c</i>\t<b>d</b>e <br> f ", "a b c de\nf"),
            ("<p>code:</p><pre>if x {\n  y\n}</pre>", "code:\n\nif x {\n  y\n}"),
            ("a<script>var x = '<p>no</p>';</script><style>p { }</style>b<!-- no -->c", "abc"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
            ("no <tag, 1 < 2 & 3 > 2", "no 2"),
            ("1 < 2 &amp 3 > 2 &copy; AT&T", "1 < 2 & 3 > 2 © AT&T"),
            ("<p>a\u{a0}b\u{3000}c</p>", "a\u{a0}b\u{3000}c"),
            ("<p></p><p><br></p>", ""),
        ];
        for (html, text) in cases {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    #[test]
    fn a_megabyte_of_tags_that_nobody_closes_takes_no_time() {
        for tag in ["div", "b", "ul><li", "table><tr><td", "pre", "a href=x", "dl><dd", "p"] {
            let html = format!("<{tag}>").repeat(1_000_000 / (tag.len() + 2)) + "x";
            let start = Instant::now();
            assert_eq!(to_text(&html), "x", "{tag}");
            assert!(start.elapsed() < Duration::from_secs(5), "{tag}: {:?}", start.elapsed());
        }
        let attributes = (0..100_000).map(|number| format!("a{number}")).collect::<Vec<_>>().join(" ");
        let start = Instant::now();
        assert_eq!(to_text(&format!("<a {attributes}>x")), "x");
        assert!(start.elapsed() < Duration::from_secs(5), "attributes: {:?}", start.elapsed());
    }

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

    proptest! {
        #[test]
        fn words_survive(words in proptest::collection::vec("[a-zé😀]{1,8}", 1..20), tags in "(<[a-z]{1,6}>){0,3}") {
            let tags = tags.replace("<script>", "").replace("<style>", "");
            let html = format!("<p>{}</p>", words.join(&format!("</p>{tags}<p>")));
            let text = to_text(&html);
            prop_assert_eq!(text.split_whitespace().collect::<Vec<_>>(), words);
        }
    }
}
