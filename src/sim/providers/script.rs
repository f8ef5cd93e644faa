//! What the language models say: replies by what the caller's last line contains.

/// Rules in order; the first that fits is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub rules: Vec<Rule>,
    /// The reply when no rule fits.
    pub fallback: String,
    /// The reply when the caller has said nothing yet.
    pub greeting: String,
}

/// A reply to every line that contains something, in whatever case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub contains: String,
    pub reply: String,
}

const GREETING: &str = "Hello, this is Patchcord speaking. How can I help you?";

/// A helpful agent on the phone of a shop.
const SHOP: [(&str, &str); 12] = [
    ("greet", GREETING),
    (
        "brooklyn bridge",
        "The Brooklyn Bridge was opened in eighteen eighty three, so it is more than one hundred and forty years \
         old. Would you like to know anything else?",
    ),
    (
        "weather",
        "It is sunny today, with a light wind from the west. You will not need an umbrella. Is there anything else \
         I can do for you?",
    ),
    ("chromecast", "Certainly, we have it in blue, black and red. Which color would you like?"),
    (
        "order",
        "I have found your order. It was shipped yesterday, and it will arrive on Thursday. Can I help you with \
         anything else?",
    ),
    ("open", "We are open from nine in the morning to six in the evening. On Sundays we are closed."),
    ("price", "It costs thirty five dollars. Shipping is free. Would you like to order one?"),
    (
        "return",
        "You can return it within thirty days. We will send you a label by mail. Shall I do that now?",
    ),
    ("agent", "I understand that you want to talk to a person. Please hold the line for a moment."),
    ("thank", "You are welcome. Is there anything else I can do for you?"),
    ("bye", "Thank you for calling. Have a nice day."),
    ("hello", GREETING),
];

impl Default for Script {
    fn default() -> Self {
        let rule =
            |(contains, reply): (&str, &str)| Rule { contains: contains.to_owned(), reply: reply.to_owned() };
        Self {
            rules: SHOP.map(rule).to_vec(),
            fallback: "I am not sure that I understood you. Could you say that again, please?".to_owned(),
            greeting: GREETING.to_owned(),
        }
    }
}

impl Script {
    /// The reply to the caller's last line, empty if there is none.
    pub fn reply(&self, last: &str) -> &str {
        if last.trim().is_empty() {
            return &self.greeting;
        }
        let last = last.to_lowercase();
        let rule = self.rules.iter().find(|rule| last.contains(&rule.contains.to_lowercase()));
        rule.map_or(&self.fallback, |rule| &rule.reply)
    }
}

/// A text as the pieces in which a model gives it: words with the space before them.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for part in text.split_inclusive(' ') {
        let (word, space) = part.strip_suffix(' ').map_or((part, ""), |word| (word, " "));
        match tokens.last_mut() {
            Some(last) => last.push_str(word),
            None => tokens.push(word.to_owned()),
        }
        if !space.is_empty() {
            tokens.push(space.to_owned());
        }
    }
    tokens.retain(|token| !token.is_empty());
    tokens
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("", GREETING)]
    #[case("Please greet the caller.", GREETING)]
    #[case("I would like to know how old is the BROOKLYN Bridge?", SHOP[1].1)]
    #[case("Mumble.", "I am not sure that I understood you. Could you say that again, please?")]
    fn the_last_line_decides_the_reply(#[case] last: &str, #[case] reply: &str) {
        assert_eq!(Script::default().reply(last), reply);
    }

    #[test]
    fn every_reply_has_two_sentences() {
        for rule in Script::default().rules {
            let ends = rule.reply.matches(['.', '?']).count();
            assert!(ends >= 2, "{}", rule.reply);
        }
    }

    #[rstest]
    #[case("", &[])]
    #[case("One.", &["One."])]
    #[case("One, two  three ", &["One,", " two", " ", " three", " "])]
    fn tokens_are_words_with_the_space_before_them(#[case] text: &str, #[case] expected: &[&str]) {
        assert_eq!(tokens(text), expected);
        assert_eq!(tokens(text).concat(), text);
    }
}
