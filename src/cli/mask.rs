//! Secrets that were written where none belongs are not printed.

/// How the keys of well-known services begin.
const KEYS: [&str; 12] =
    ["sk-", "sk_", "pk_", "rk_", "gsk_", "xai-", "AIza", "AKIA", "ya29.", "ghp_", "hf_", "eyJ"];

/// A shorter word is a name.
const KEY_CHARS_MIN: usize = 16;

/// Names of parameters that hold a secret.
const SECRETS: [&str; 6] = ["key", "token", "password", "passwd", "secret", "signature"];

const MASK: &str = "***";

/// The text without passwords of URLs, secret parameters of queries, and words that look like keys.
pub(crate) fn masked(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '(' | ')' | '<' | '>');
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        masked.push_str(&word_masked(word));
        rest = &rest[word.len()..];
        if let Some(end) = rest.chars().next() {
            masked.push(end);
            rest = &rest[end.len_utf8()..];
        }
    }
    masked
}

fn word_masked(word: &str) -> String {
    if word.len() >= KEY_CHARS_MIN && KEYS.iter().any(|begin| word.starts_with(begin)) {
        return MASK.to_owned();
    }
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    // A password may hold a slash.
    let rest = match rest.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => rest.to_owned(),
    };
    let (path, query) = rest.split_once('?').unwrap_or((&rest, ""));
    if query.is_empty() {
        return format!("{scheme}://{rest}");
    }
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={MASK}"),
        Some(_) | None => pair.to_owned(),
    });
    format!("{scheme}://{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::password("https://user:hunter2@voice.example.com/a", "https://***@voice.example.com/a")]
    #[case::user_alone("wss://hunter2@voice.example.com", "wss://***@voice.example.com")]
    #[case::slash_in_the_password("postgres://u:hunter/2@db/calls", "postgres://***@db/calls")]
    #[case::key_of_a_query("wss://live.example.com?a=b&key=hunter2", "wss://live.example.com?a=b&key=***")]
    #[case::token_of_a_query("https://x.org/p?access_token=hunter2", "https://x.org/p?access_token=***")]
    #[case::openai("variable sk-hunter2hunter2hunter2 is not set", "variable *** is not set")]
    #[case::google("\"AIzaSyhunter2hunter2hunter2\"", "\"***\"")]
    #[case::groq("(gsk_hunter2hunter2hunter2)", "(***)")]
    #[case::jwt("eyJhbGciOiJIUzI1NiJ9.hunter2", "***")]
    fn secrets_are_masked(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(masked(text), expected);
    }

    #[rstest]
    #[case("https://voice.example.com/twilio/voice (HTTP POST, for \"A call comes in\")")]
    #[case("OPENAI_API_KEY (environment): is not set; set it")]
    #[case("sk-short")]
    #[case("ask sales@example.com; größe")]
    fn other_texts_stay_as_they_are(#[case] text: &str) {
        assert_eq!(masked(text), text);
    }
}
