//! Text of the other side, made fit for a status or a log.

use secrecy::{ExposeSecret, SecretString};

/// Longest text that leaves this module, in characters.
const LONGEST: usize = 400;

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// How every JSON web token begins: `{"` in base64url.
const TOKEN: &str = "eyJ";

/// Shorter than every token, longer than a name that happens to begin like one.
const SHORTEST_TOKEN: usize = 16;

/// `text` in one line: without mark-up, control and formatting characters and
/// without any of `secrets` or of the server's tokens, at most 400 characters long.
pub(crate) fn clean(text: &str, secrets: &[SecretString]) -> String {
    // Before anything is taken out of a secret, and after what may have been put into one.
    let plain = without_markup(&without_secrets(text, secrets));
    let mut line = String::with_capacity(plain.len());
    let mut space = false;
    for character in plain.chars() {
        if character.is_whitespace() || character.is_control() {
            space = !line.is_empty();
            continue;
        }
        if is_invisible(character) {
            continue;
        }
        if space {
            line.push(' ');
            space = false;
        }
        line.push(character);
    }
    cut(&without_secrets(&line, secrets), LONGEST)
}

/// At most `longest` characters of `text`, and a sign that there was more.
pub(crate) fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Without `secrets`, as they are and as they stand in JSON, and without what looks
/// like a token: an answer may hold tokens that nobody here knows yet.
fn without_secrets(text: &str, secrets: &[SecretString]) -> String {
    let mut plain = text.to_owned();
    for secret in secrets {
        let secret = secret.expose_secret();
        // A very short one would turn ordinary words into stars and so tell what it is.
        if secret.len() < 4 {
            continue;
        }
        plain = plain.replace(secret, HIDDEN);
        let escaped = serde_json::Value::from(secret).to_string();
        plain = plain.replace(escaped.trim_matches('"'), HIDDEN);
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut from = 0;
    while let Some(start) = plain[from..].find(TOKEN).map(|at| from + at) {
        let end = plain[start..]
            .find(|c: char| !is_part(c))
            .map_or(plain.len(), |length| start + length);
        from = end;
        // Not in the middle of a word, such as in `KeyJar`.
        if end - start >= SHORTEST_TOKEN && !plain[..start].ends_with(is_part) {
            plain.replace_range(start..end, HIDDEN);
            from = start + HIDDEN.len();
        }
    }
    plain
}

/// Bytes of unknown encoding, cleaned as [`clean`] does it.
pub(crate) fn clean_bytes(bytes: &[u8], secrets: &[SecretString]) -> String {
    // Enough for the longest result whatever is removed from an ordinary page.
    let start = &bytes[..bytes.len().min(64 * 1024)];
    clean(&String::from_utf8_lossy(start), secrets)
}

/// Characters that change how the text around them is shown, or show nothing:
/// direction marks, joiners, variation selectors, tags (Unicode general category Cf and relatives).
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{fffd}' | '\u{e0000}'..='\u{e01ef}')
}

/// Removes tags, and the content of `<style>` and `<script>`. A `<` that starts no tag stays.
fn without_markup(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        result.push_str(&rest[..start]);
        let tag = &rest[start..];
        if !tag[1..].starts_with(|next: char| next.is_ascii_alphabetic() || "/!?".contains(next)) {
            result.push('<');
            rest = &tag[1..];
            continue;
        }
        let end = ["style", "script"]
            .into_iter()
            .find(|name| starts_with_tag(tag, name))
            .and_then(|name| end_of_element(tag, name))
            .or_else(|| tag.find('>').map(|end| end + 1));
        result.push(' ');
        // A tag that never ends hides the rest.
        rest = end.map_or("", |end| &tag[end..]);
    }
    result.push_str(rest);
    result
}

fn starts_with_tag(tag: &str, name: &str) -> bool {
    tag.get(1..=name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

fn end_of_element(tag: &str, name: &str) -> Option<usize> {
    let lower = tag.to_ascii_lowercase();
    let close = lower.find(&format!("</{name}"))?;
    lower[close..].find('>').map(|end| close + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        clean(text, &[])
    }

    #[test]
    fn a_page_of_a_proxy_becomes_one_line_of_words() {
        let page = "<!DOCTYPE html>\r\n<html><head><style>p{color:red}</style>\
            <title>502 Bad Gateway</title></head>\n<body><h1>502 Bad Gateway</h1>\
            <script>alert('x')</script></body></html>";
        assert_eq!(cleaned(page), "502 Bad Gateway 502 Bad Gateway");
    }

    #[test]
    fn comparisons_are_no_tags() {
        assert_eq!(cleaned("want 1 < 2 and a<=b"), "want 1 < 2 and a<=b");
    }

    #[test]
    fn control_and_formatting_characters_go() {
        assert_eq!(
            cleaned("a\x1b[31mb\0c\u{202e}d\u{200b}e\n\n f"),
            "a [31mb cde f"
        );
    }

    #[test]
    fn an_endless_tag_hides_the_rest() {
        assert_eq!(cleaned("before <script src='x"), "before");
        assert_eq!(cleaned("before <a href='"), "before");
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        let long = cleaned(&"é".repeat(10_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn secrets_are_hidden() {
        let secrets = [SecretString::from("hunter22"), SecretString::from("a")];
        assert_eq!(
            clean("password hunter22 is bad", &secrets),
            "password *** is bad"
        );
    }

    #[test]
    fn secrets_are_hidden_however_they_are_wrapped() {
        let secret = |text: &str| [SecretString::from(text.to_owned())];
        assert_eq!(clean("is a<b>c\"d", &secret("a<b>c\"d")), "is ***");
        assert_eq!(
            clean(r#"{"p":"a<b>c\"d"}"#, &secret("a<b>c\"d")),
            r#"{"p":"***"}"#
        );
        assert_eq!(clean("hunt\u{200b}er22", &secret("hunter22")), "***");
        assert_eq!(clean("two  words", &secret("two  words")), "***");
        let long = format!("{}hunter22", "x".repeat(LONGEST - 4));
        assert_eq!(
            clean(&long, &secret("hunter22")),
            format!("{}***", "x".repeat(LONGEST - 4))
        );
    }

    #[test]
    fn tokens_are_hidden_whoever_knows_them() {
        assert_eq!(
            cleaned("Authorization: Bearer eyJhbGciOi.eyJ1aWQi-_.c2ln, bye"),
            "Authorization: Bearer ***, bye"
        );
        for word in ["eyJ", "KeyJournalIsLongEnough", "eyJob-1"] {
            assert_eq!(cleaned(word), word);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_survived() {
        assert_eq!(clean_bytes(&[0xff, b'o', b'k', 0xfe, 0], &[]), "ok");
    }
}
