//! Takes out of a recogniser's text what the caller did not say: sounds, silence, times, tokens, names of speakers.
//! The words stay as they are, hesitations and all. Knows nothing of audio.

use super::spoken::{decoded, is_invisible, stage};

/// A longer remark is speech in brackets.
const REMARK_MAX: usize = 80;

/// The words of a whole transcript.
pub(super) fn words(transcript: &str) -> String {
    let mut out = String::with_capacity(transcript.len());
    let is_captions = transcript.contains("-->");
    for line in transcript.lines() {
        let line = line.trim();
        let is_number = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit());
        let is_cue = line.starts_with("WEBVTT") || is_number || is_time_line(line);
        if !(is_captions && is_cue) {
            out.push(' ');
            words_of_line(without_speaker(line), &mut out);
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a whole transcript has a word of the caller in it. Recognisers write `[BLANK_AUDIO]`, `(silence)` or `...`
/// where they heard none.
pub fn has_words(transcript: &str) -> bool {
    words(transcript).contains(char::is_alphanumeric)
}

/// `00:00:01,000 --> 00:00:04,000` and nothing else.
fn is_time_line(line: &str) -> bool {
    line.contains("-->")
        && line.chars().all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | ',' | ' ' | '-' | '>'))
}

/// Without `SPEAKER_00:`, `[Speaker 1]:` or the like.
fn without_speaker(line: &str) -> &str {
    let Some((name, words)) = line.split_once(':') else { return line };
    let name = name.trim_matches(['[', ']', '(', ')', '*', ' ']).to_ascii_lowercase();
    let number = name.strip_prefix("speaker").map(|rest| rest.trim_matches([' ', '_']));
    let is_speaker = number.is_some_and(|number| !number.is_empty() && number.len() <= 2);
    if is_speaker && number.is_some_and(|number| number.chars().all(|c| c.is_ascii_alphanumeric())) {
        words
    } else {
        line
    }
}

fn words_of_line(line: &str, out: &mut String) {
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let len = match c {
            '[' | '(' | '<' | '*' | '（' | '【' => remark(rest),
            '♪' | '♫' | '♩' | '♬' | '🎵' | '🎶' => Some(song(rest)),
            _ => None,
        };
        if let Some(len) = len {
            out.push(' ');
            rest = &rest[len..];
            continue;
        }
        let (c, len) = entity(rest).unwrap_or_else(|| (c, c.len_utf8()));
        if !is_invisible(c) {
            out.push(if c.is_control() { ' ' } else { c });
        }
        rest = &rest[len..];
    }
}

/// The length of the remark that `text` begins with, if it is not speech.
fn remark(text: &str) -> Option<usize> {
    let open = text.chars().next()?;
    let close = match open {
        '[' => ']',
        '(' => ')',
        '<' => '>',
        '（' => '）',
        '【' => '】',
        other => other,
    };
    let inside = &text[open.len_utf8()..];
    let end = inside.find(close).filter(|end| *end <= REMARK_MAX)?;
    let content = inside[..end].trim();
    let is_silence = content.is_empty() || content.chars().all(|c| matches!(c, '.' | '…' | '-' | '_' | ' '));
    let is_remark = match open {
        // Recognisers write no word in these brackets; what people dictate has digits or is an aside.
        '[' => {
            !content.eq_ignore_ascii_case("sic")
                && (is_time_line(content)
                    || !content.contains(|c: char| c.is_ascii_digit())
                    || content.starts_with('_'))
        }
        '<' => content.starts_with('|') || !content.contains(' '),
        '(' | '（' | '【' => stage::is_sound(content) || is_capitals(content),
        _ => stage::is_sound(content),
    };
    (is_silence && open != '*' || is_remark).then_some(open.len_utf8() + end + close.len_utf8())
}

/// `(MUSIC)`, `(BLANK_AUDIO)`: several letters, all capital.
fn is_capitals(content: &str) -> bool {
    content.len() > 3 && content.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '_' | ' '))
}

/// The length of what is sung: up to the next note, or the note alone.
fn song(text: &str) -> usize {
    let is_note = |c: char| matches!(c, '♪' | '♫' | '♩' | '♬' | '🎵' | '🎶');
    let notes = text.len() - text.trim_start_matches(is_note).len();
    let rest = &text[notes..];
    let end = rest.find(is_note).map(|end| end + rest[end..].chars().next().map_or(0, char::len_utf8));
    notes + end.unwrap_or(0)
}

fn entity(text: &str) -> Option<(char, usize)> {
    let name = text.strip_prefix('&')?;
    let end = name.find(';').filter(|end| *end <= 8)?;
    Some((decoded(&name[..end])?, end + 2))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::blank("[BLANK_AUDIO]", "")]
    #[case::blank_with_spaces(" [ Silence ] ", "")]
    #[case::music("(upbeat music)", "")]
    #[case::foreign("(speaking in foreign language) Yes.", "Yes.")]
    #[case::inaudible("I want [inaudible] on Monday", "I want on Monday")]
    #[case::unclear("My name is [unclear] Smith", "My name is Smith")]
    #[case::laughter("Hello [laughter] there", "Hello there")]
    #[case::coughs("*coughs* Good morning", "Good morning")]
    #[case::notes("♪♪", "")]
    #[case::a_song("♪ la la la ♪ Hello?", "Hello?")]
    #[case::one_note("♪ Hello", "Hello")]
    #[case::tokens("<|startoftranscript|><|en|><|transcribe|><|0.00|> Hello.<|2.40|>", "Hello.")]
    #[case::sensevoice("<|zh|><|NEUTRAL|><|Speech|><|woitn|>你好", "你好")]
    #[case::unknown("I am <unk> here", "I am here")]
    #[case::times("[00:00:00.000 --> 00:00:04.000]  Where is my order?", "Where is my order?")]
    #[case::captions(
        "WEBVTT\n\n1\n00:00.000 --> 00:02.000\nWhere is it?\n\n2\n00:02.000 --> 00:03.000\nHello?\n",
        "Where is it? Hello?"
    )]
    #[case::a_speaker("SPEAKER_00: Hello.", "Hello.")]
    #[case::two_speakers("[Speaker 1]: Hello.\nSpeaker 2: Yes.", "Hello. Yes.")]
    #[case::entities("I&#39;m at Smith &amp; Sons", "I'm at Smith & Sons")]
    #[case::invisible("Hel\u{200B}lo\u{FEFF} there", "Hello there")]
    #[case::dots("(...) [...]", "")]
    #[case::um("Um, uh, well, I, I don't know.", "Um, uh, well, I, I don't know.")]
    #[case::a_number("It is (555) 0123, extension [12]", "It is (555) 0123, extension [12]")]
    #[case::an_aside("The blue one (if you have it)", "The blue one (if you have it)")]
    #[case::sic("That is right [sic]", "That is right [sic]")]
    #[case::thanks("Thank you for watching.", "Thank you for watching.")]
    #[case::a_colon("The time: 10:30", "The time: 10:30")]
    #[case::a_number_alone("42", "42")]
    #[case::less_than("5 < 6 and 7 > 3", "5 < 6 and 7 > 3")]
    #[case::ampersand("R&D; yes", "R&D; yes")]
    #[case::hindi("नमस्ते, मेरा ऑर्डर कहाँ है?", "नमस्ते, मेरा ऑर्डर कहाँ है?")]
    #[case::persian("می‌خواهم بدانم", "می‌خواهم بدانم")]
    #[case::japanese("（音楽）こんにちは。", "こんにちは。")]
    fn what_was_said_remains(#[case] transcript: &str, #[case] said: &str) {
        assert_eq!(words(transcript), said);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::space(" \n ")]
    #[case::blank("[BLANK_AUDIO]")]
    #[case::music("[Music]")]
    #[case::silence("(silence)")]
    #[case::no_speech("(no speech detected)")]
    #[case::no_audio("(No audio.)")]
    #[case::starred("*silence*")]
    #[case::dots("...")]
    #[case::an_ellipsis("…")]
    #[case::punctuation("?! -")]
    #[case::wide_punctuation("。")]
    #[case::notes("♪♪♪")]
    #[case::tokens("<|nospeech|><|endoftext|>")]
    #[case::several("[Music] ... (applause)\n[BLANK_AUDIO]")]
    #[case::captions("WEBVTT\n\n1\n00:00.000 --> 00:02.000\n[silence]\n")]
    fn a_transcript_may_have_no_words(#[case] transcript: &str) {
        assert!(!has_words(transcript), "{}", words(transcript));
    }

    #[rstest]
    #[case("No.")]
    #[case("7")]
    #[case("Silence, please.")]
    #[case("はい")]
    #[case("[Music] Yes.")]
    #[case("(if you like)")]
    fn a_word_is_a_word(#[case] transcript: &str) {
        assert!(has_words(transcript));
    }
}
