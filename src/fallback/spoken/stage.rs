//! Words that stand for a sound or a gesture and not for speech, as in `(laughs)` or `[BLANK_AUDIO]`.

/// Longer remarks are sentences.
const WORDS_MAX: usize = 5;

/// How words begin that describe a voice or a gesture, wherever they are written. Prefixes, lower case.
const GESTURES: [&str; 62] = [
    "laugh",
    "chuckl",
    "giggl",
    "snicker",
    "sigh",
    "smil",
    "smirk",
    "grin",
    "nod",
    "wink",
    "gasp",
    "cough",
    "sniff",
    "sneez",
    "shrug",
    "yawn",
    "sob",
    "groan",
    "hum",
    "inhal",
    "exhal",
    "breath",
    "whisper",
    "pause",
    "pausing",
    "clears",
    "clearing",
    "throat",
    "beat",
    "applau",
    "clap",
    "gulp",
    "scoff",
    "snort",
    "mumbl",
    "lacht",
    "lachend",
    "lächel",
    "seufz",
    "räusper",
    "nickt",
    "schmunzel",
    "flüster",
    "rit",
    "rires",
    "sourit",
    "soupir",
    "sonríe",
    "sonrie",
    "risas",
    "ríe",
    "suspira",
    "pausa",
    "ride",
    "sorride",
    "risos",
    "sorri",
    "suspiro",
    "笑",
    "音楽",
    "拍手",
    "沉默",
];

/// What an actor is told between asterisks. Elsewhere these are words of a sentence. Whole words, lower case.
const ACTIONS: [&str; 44] = [
    "looks",
    "looking",
    "checks",
    "checking",
    "thinks",
    "thinking",
    "types",
    "typing",
    "waits",
    "waiting",
    "leans",
    "tilts",
    "waves",
    "bows",
    "speaks",
    "speaking",
    "says",
    "warmly",
    "softly",
    "gently",
    "cheerfully",
    "excitedly",
    "enthusiastically",
    "happily",
    "sadly",
    "calmly",
    "quietly",
    "loudly",
    "slowly",
    "kindly",
    "politely",
    "brightly",
    "sympathetically",
    "pulls",
    "picks",
    "taps",
    "clicks",
    "listens",
    "listening",
    "turns",
    "takes",
    "hesitates",
    "searches",
    "searching",
];

/// Sounds that a recogniser writes down. Prefixes, lower case.
const SOUNDS: [&str; 39] = [
    "music",
    "musik",
    "música",
    "musique",
    "noise",
    "silence",
    "silent",
    "blank",
    "static",
    "beep",
    "ring",
    "typing",
    "background",
    "foreign",
    "inaudible",
    "unintelligible",
    "indistinct",
    "crosstalk",
    "sound",
    "dial",
    "no speech",
    "nospeech",
    "no audio",
    "no sound",
    "clear",
    "speaking",
    "speaks",
    "click",
    "crying",
    "cries",
    "scream",
    "knock",
    "door",
    "footstep",
    "engine",
    "wind",
    "phone",
    "buzz",
    "hold music",
];

/// Whether a remark in brackets describes a voice or a gesture.
pub(in crate::fallback) fn is_direction(remark: &str) -> bool {
    let words = words(remark);
    let is_gesture = |word: &String| GESTURES.iter().any(|begin| word.starts_with(begin));
    is_remark(remark, &words) && [words.first(), words.last()].into_iter().flatten().any(is_gesture)
}

/// The same between asterisks.
pub(in crate::fallback) fn is_action(remark: &str) -> bool {
    let words = words(remark);
    is_direction(remark)
        || (is_remark(remark, &words) && words.first().is_some_and(|word| ACTIONS.contains(&&**word)))
}

/// Whether a remark whose first word is known may yet be an action.
pub(super) fn may_be_action(first_word: &str) -> bool {
    let word = first_word.to_lowercase();
    ACTIONS.contains(&&*word) || GESTURES.iter().any(|begin| word.starts_with(begin))
}

/// Whether a remark of a recogniser is about a sound.
pub(in crate::fallback) fn is_sound(remark: &str) -> bool {
    let words = words(remark);
    let is_sound = |word: &String| SOUNDS.iter().any(|begin| word.starts_with(begin));
    let ends = [words.first(), words.last()];
    is_direction(remark)
        || (is_remark(remark, &words)
            && (ends.into_iter().flatten().any(is_sound) || is_sound(&words.join(" "))))
}

fn is_remark(remark: &str, words: &[String]) -> bool {
    let is_letter = |c: char| c.is_alphabetic() || matches!(c, ' ' | '_' | '-' | '\'' | '’' | ',' | '.');
    (1..=WORDS_MAX).contains(&words.len()) && remark.chars().all(is_letter)
}

fn words(remark: &str) -> Vec<String> {
    let words = remark.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("laughs", true)]
    #[case("smiles warmly", true)]
    #[case("a short pause", true)]
    #[case("clears throat", true)]
    #[case("lächelt", true)]
    #[case("ríe", true)]
    #[case("sic", false)]
    #[case("555", false)]
    #[case("checking account", false)]
    #[case("if you like", false)]
    #[case("she laughs a lot when it rains on her", false)]
    fn a_direction_is_told_from_words(#[case] remark: &str, #[case] is_one: bool) {
        assert_eq!(is_direction(remark), is_one);
    }

    #[rstest]
    #[case("checks the calendar", true)]
    #[case("very", false)]
    #[case("checking account", true)]
    fn an_action_may_be_more(#[case] remark: &str, #[case] is_one: bool) {
        assert_eq!(is_action(remark), is_one);
        assert!(!is_one || may_be_action(remark.split(' ').next().unwrap()));
    }

    #[rstest]
    #[case("BLANK_AUDIO", true)]
    #[case("upbeat music", true)]
    #[case("speaking in foreign language", true)]
    #[case("phone ringing", true)]
    #[case("no speech detected", true)]
    #[case("no audio", true)]
    #[case("no problem at all", false)]
    #[case("the blue one", false)]
    fn a_sound_is_told_from_words(#[case] remark: &str, #[case] is_one: bool) {
        assert_eq!(is_sound(remark), is_one);
    }
}
