//! What becomes of the texts that models write, in whatever pieces they come.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn clean<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
    let (mut cleaner, mut all) = (Cleaner::new(), String::new());
    for piece in pieces {
        for c in piece.chars() {
            let mut out = String::new();
            if cleaner.push(c, &mut out) == Flow::Retract {
                all.clear();
            }
            all.push_str(&out);
        }
    }
    let mut out = String::new();
    if cleaner.finish(&mut out) == Flow::Retract {
        all.clear();
    }
    all + &out
}

/// Spaces are put right by the splitter.
fn spoken(text: &str) -> String {
    clean([text]).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[rstest]
#[case::emphasis("This is **very** *important*.", "This is very important.")]
#[case::code("Say `yes`.", "Say yes.")]
#[case::headings("# Title\n### Sub", "Title\nSub")]
#[case::bullets("- one\n* two\n• three\n  - four", "one\ntwo\nthree\nfour")]
#[case::nested("> - quoted", "quoted")]
#[case::a_rule("a\n---\nb", "a\n\nb")]
#[case::a_bold_item("- **Name**: text", "Name: text")]
#[case::no_bullet("-5 degrees\n#1\n+49 30", "-5 degrees\n#1\n+49 30")]
#[case::inside_a_line("well - yes, 3 # 4 and 1+1", "well - yes, 3 # 4 and 1+1")]
#[case::emoji("Hi 👋🏽! ✅ 👨‍👩‍👧 1️⃣ 🇩🇪 ❤️", "Hi !   1  ")]
#[case::a_joiner_of_a_script("ක්‍ෂ", "ක්‍ෂ")]
#[case::controls("a\tb\rc", "a b c")]
#[case::snake_case("a_b@c.de", "a_b@c.de")]
fn only_what_is_spoken_remains(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(clean([text]), expected);
}

#[rstest]
#[case::think("<think>The caller wants a room.</think>\n\nWe have a room.")]
#[case::thinking("<thinking>\nHm.\n</thinking>\nWe have a room.")]
#[case::reasoning("<reasoning type=\"x\">Hm.</reasoning>We have a room.")]
#[case::capitals("<THINK>Hm.</Think>We have a room.")]
#[case::another_end("<thinking>Hm.</think>We have a room.")]
#[case::empty_think("<think>\n\n</think>\n\nWe have a room.")]
#[case::a_namespace("<seed:think>Hm.</seed:think>We have a room.")]
#[case::closed_only("The caller wants a room. I look.</think>We have a room.")]
#[case::in_the_middle("We have <think>or not?</think>a room.")]
#[case::unclosed("We have a room. <think>Or not? They want")]
#[case::kimi("◁think▷Hm.◁/think▷We have a room.")]
#[case::mistral_think("[THINK]Hm.[/THINK]We have a room.")]
#[case::open_thoughts(
    "<|begin_of_thought|>Hm.<|end_of_thought|><|begin_of_solution|>We have a room.<|end_of_solution|>"
)]
#[case::harmony(
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>We have a room.<|return|>"
)]
#[case::harmony_commentary(
    "<|start|>assistant<|channel|>commentary to=functions.book <|constrain|>json<|message|>{\"a\":1}<|call|><|channel|>final<|message|>We have a room."
)]
#[case::harmony_stripped("analysisThe caller wants a room.assistantfinalWe have a room.")]
#[case::gemma_channel("<|channel>thought\nHm.<channel|>We have a room.")]
#[case::react("Thought: I should look.\nAction: rooms\nFinal Answer: We have a room.")]
#[case::tool_call("<tool_call>\n{\"name\": \"book\", \"arguments\": {}}\n</tool_call>We have a room.")]
#[case::function("<function=book>{\"a\": 1}</function>We have a room.")]
#[case::qwen_coder(
    "<tool_call><function=book><parameter=a>1</parameter></function></tool_call>We have a room."
)]
#[case::invoke(
    "<function_calls><invoke name=\"book\"><parameter name=\"a\">1</parameter></invoke></function_calls>We have a room."
)]
#[case::mistral_call("We have a room. [TOOL_CALLS] [{\"name\": \"book\"}]")]
#[case::deepseek_call("We have a room.<｜tool▁calls▁begin｜>book<｜tool▁sep｜>{}<｜tool▁calls▁end｜>")]
#[case::kimi_call("We have a room.<|tool_calls_section_begin|>functions.book:0{}<|tool_calls_section_end|>")]
#[case::llama_call("We have a room.<|python_tag|>book.call(a=1)")]
#[case::json_call("{\"name\": \"book\", \"arguments\": {\"a\": \"}\"}}\nWe have a room.")]
#[case::json_calls("[{\"name\": \"book\", \"parameters\": {}}]\nWe have a room.")]
#[case::an_answer_in_json("{\"response\": \"We have a room.\", \"mood\": 1}")]
#[case::a_block_of_json("```json\n{\"name\": \"book\"}\n```\nWe have a room.")]
#[case::a_block_of_prose("```\nWe have a room.\n```")]
#[case::a_link("We have a [room](https://example.com/rooms?id=1).")]
#[case::a_reference("We have a [room][1].")]
#[case::an_image("![a room](https://example.com/a.png)We have a room.")]
#[case::citations("We have【4†source】 a room[1][^2].")]
#[case::linked_citations("We have[1](https://a.b/c) a room[2, 3].")]
#[case::citations_in_a_row("We have a room[1][2][3].")]
#[case::citations_after_a_space("We have a room [1][2].")]
#[case::citations_with_spaces("We have a room [1] [2].")]
#[case::a_citation_alone("We have a room [1].")]
#[case::several_in_one("We have a room [1, 2-4].")]
#[case::deepseek_citations("We have[citation:3] a room [citation:1][citation:2].")]
#[case::gemini_citations("[cite_start]We have a room [cite: 1, 2].")]
#[case::azure_citations("We have a room[doc1][doc2].")]
#[case::perplexity_citations("We have a room[web:1].")]
#[case::search_citations("We have a room [turn0search1].")]
#[case::named_sources("We have a room [Source 1] [ref. 2].")]
#[case::wide_named("We have【citation:1】 a room【3:0†file.pdf】【7】.")]
#[case::footnotes("We have[^1] a room[^note].\n\n[^1]: See https://example.com.\n[^note]: Or not.")]
#[case::a_definition("We have a [room][1].\n\n[1]: https://example.com \"Rooms\"")]
#[case::double_brackets("We have a room [[1]](https://example.com)[[2]].")]
#[case::a_linked_number("We have a room [1](https://example.com/a).")]
#[case::citations_of_private_use("We have a room\u{E200}cite\u{E202}turn0search0\u{E201}.")]
#[case::a_content_reference("We have a room:contentReference[oaicite:0]{index=0}.")]
#[case::an_action("*smiles warmly* We have a room.")]
#[case::an_action_later("We have *checks the list* a room.")]
#[case::underscored("_laughs_ We have a room.")]
#[case::a_direction("(clears throat) We have a room. (pauses)")]
#[case::a_bracketed_direction("[pause] We have [laughs] a room.")]
#[case::ssml("<speak>We <break time=\"1s\"/>have <emphasis level=\"strong\">a room</emphasis>.</speak>")]
#[case::html("<p>We have<br/>a <b>room</b>.</p><!-- none -->")]
#[case::entities("We&nbsp;have a room&#46;")]
#[case::no_characters("We ha\u{FFFD}ve a room\u{FFFD}\u{FFFD}.")]
#[case::zero_width("We ha\u{200B}ve a\u{FEFF} ro\u{AD}om\u{2060}.")]
#[case::tokens("<s>We have a room.</s><|im_end|><|endoftext|><|eot_id|>")]
#[case::chatml("<|im_start|>assistant\nWe have a room.<|im_end|>\n<|im_start|>user\nGood.")]
#[case::instructions("[INST]We have a room.[/INST]")]
#[case::instructions_with_spaces("[INST] We have a room. [/INST]")]
#[case::an_end_of_instructions("[/INST] We have a room.")]
#[case::the_next_instructions("We have a room. [INST] Good. [/INST]")]
#[case::a_system_message("<<SYS>>\nYou are an agent.\n<</SYS>>\n\nWe have a room.")]
#[case::a_system_message_in_instructions("[INST] <<SYS>>Be brief.<</SYS>> We have a room. [/INST]")]
#[case::an_end_of_a_system_message("<</SYS>>We have a room.")]
#[case::mistral_prompt(
    "[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][AVAILABLE_TOOLS][{}][/AVAILABLE_TOOLS]We have a room."
)]
#[case::spaced_tokens("<| im_start |>assistant\nWe have a room.<| im_end |>")]
#[case::zephyr("<|assistant|>\nWe have a room.</s>\n<|user|>\nGood.")]
#[case::an_echo("<|system|>\nBe brief.<|user|>\nA room?<|assistant|>\nWe have a room.")]
#[case::other_tokens("<|begin_of_text|>We have a room.<|end_of_text|><|fim_middle|><|eom_id|><eos><pad>")]
#[case::an_environment("We have \\begin{align}a &= b\\\\c\\end{align}a room.")]
#[case::a_sum("We have a room$$\\sum_{i=1}^n i$$.")]
#[case::llama_header("<|start_header_id|>assistant<|end_header_id|>\n\nWe have a room.<|eot_id|>")]
#[case::gemma_turn("<start_of_turn>model\nWe have a room.<end_of_turn>")]
#[case::an_answer_tag("<answer>We have a room.</answer>")]
#[case::a_role("Assistant: We have a room.")]
#[case::a_bold_role("**Assistant:** We have a room.")]
#[case::the_other_side("We have a room.\nUser: Good.\nAssistant: Fine.")]
#[case::escapes("We have a room\\.")]
#[case::escaped_code("We have \\`a room\\`.")]
#[case::strikes("We have ~~~~a room.")]
#[case::faces("We have a room. :) :smile: ;-)")]
#[case::a_setext_heading("We have a room.\n=====")]
fn what_is_not_for_ears_is_not_spoken(#[case] text: &str) {
    assert_eq!(spoken(text), "We have a room.");
}

#[rstest]
#[case::a_bracketed_number("Call (555) 0123 now.")]
#[case::a_product("That is 2 * 3 or 4*5.")]
#[case::sic("He wrote teh [sic] word.")]
#[case::an_aside("We have one (if you like it).")]
#[case::comparisons("3 < 4 and a > b, x <y and z.")]
#[case::a_blank("Write your [name] there.")]
#[case::a_placeholder("Dear [Your Name], hello.")]
#[case::companies("R&D, AT&T; Smith & Sons")]
#[case::time("At 10:30: the train; then go.")]
#[case::a_price("It is $5.")]
#[case::two_prices("It is $5 and $10, or $5-$10, $5/$6.")]
#[case::many_prices("It is $5, $6.50, and $1,000 (about A$7 or US$8).")]
#[case::a_price_a_night("It is $90 a night, or $600 a week for 2.")]
#[case::a_price_behind("From $5 or 6$ on.")]
#[case::a_range("It is $5–$10; then $5!")]
#[case::a_range_of_words("It is $5M to $6M.")]
#[case::cheap("A $$ place.")]
#[case::dear("It is $$$ here, $$ there.")]
#[case::a_dollar("One $ is a dollar, two $ are more.")]
#[case::other_currencies("It is R$5, US$6 and NT$7.")]
#[case::a_variable("Set $HOME and $PATH.")]
#[case::a_shift("Take a << b and c >> d.")]
#[case::a_path("It is in C:\\temp\\new.")]
#[case::approximately("It takes ~5 minutes.")]
#[case::quotes("She said \"yes\" and ‘no’.")]
#[case::money("It costs $5.50, 50% off, #1 of 2.")]
#[case::agent_of("Agent Smith has assistants.")]
#[case::analysis("analysis shows it")]
#[case::howdy("https is a word, www too, what?")]
#[case::thinking_of("I think (we think) so.")]
#[case::japanese("【重要】お部屋がございます。「はい」")]
#[case::chinese("我们有房间，欢迎光临！")]
#[case::arabic("لدينا غرفة، أهلاً بك؟")]
#[case::persian("می‌خواهیم بدانیم")]
#[case::hindi("हमारे पास एक कमरा है।")]
#[case::thai("เรามีห้องว่าง")]
#[case::korean("방이 있습니다.")]
#[case::hebrew("יש לנו חדר")]
#[case::combining("Wir haben ein scho\u{308}nes Zimmer.")]
fn words_stay_as_they_are(#[case] text: &str) {
    assert_eq!(spoken(text), text);
}

#[rstest]
#[case::a_table("| Day | Open |\n|---|:-:|\n| Monday | 9 to 5 |\n", "Day, Open. Monday, 9 to 5.")]
#[case::a_bar("Rooms | Prices", "Rooms , Prices")]
#[case::a_bare_address("See https://www.example.com/rooms?id=1. Then call.", "See example.com. Then call.")]
#[case::an_address_in_brackets(
    "See (http://example.com:8080/a) or www.example.org!",
    "See (example.com) or example.org!"
)]
#[case::an_automatic_link(
    "See <https://example.com/a> or <me@example.com>.",
    "See example.com or me@example.com."
)]
#[case::a_linked_address("See [https://example.com/a](https://example.com/a).", "See example.com.")]
#[case::a_task("- [ ] Call\n- [x] Book", "Call Book")]
#[case::literal_line_ends("One.\\nTwo.", "One. Two.")]
#[case::a_key("Press [1] for yes.", "Press 1 for yes.")]
#[case::keys("Press [1] or [2], option [3].", "Press 1 or 2, option 3.")]
#[case::a_key_in_german("Drücken Sie [1] oder [2].", "Drücken Sie 1 oder 2.")]
#[case::keys_in_a_row("Dial [1] [2].", "Dial 1 2.")]
#[case::a_code("Your code is [4711].", "Your code is 4711.")]
#[case::a_long_number("We took [4711].", "We took 4711.")]
#[case::a_menu("[1] Sales\n[2] Help", "1 Sales 2 Help")]
#[case::a_menu_with_colons("[1]: Sales\n[2]: Help", "1: Sales 2: Help")]
#[case::a_list_of_numbers("They are [1, 2, 3].", "They are 1, 2, 3.")]
#[case::names_of_several_letters("It is \\(AB = mc^2\\) and $$ AB = 5 $$.", "It is AB = mc² and AB = 5.")]
#[case::a_formula_at_the_end("It is $x$", "It is x")]
#[case::a_formula_that_is_cut("It is \\(x + ", "It is (x +")]
#[case::a_citation_after_a_key("Press 1[2] or so [3].", "Press 1 or so.")]
#[case::a_formula("It is $x^2$ or $5$.", "It is x² or 5.")]
#[case::a_formula_with_a_price("It is $n$ times $5 and $10.", "It is n times $5 and $10.")]
#[case::an_equation("It is $E = mc^2$, $2 + 2 = 4$.", "It is E = mc², 2 + 2 = 4.")]
#[case::a_fraction("It is \\(\\frac{1}{2} \\times 4\\).", "It is 1/2 × 4.")]
#[case::a_display("It is\n\\[ x_1 \\leq \\sqrt{16} \\]\nor so.", "It is x1 ≤ √16 or so.")]
#[case::dollars_around("It is $$a^{10} + b$$ now.", "It is a¹⁰ + b now.")]
#[case::words_in_a_formula("It is \\(\\text{speed} = 5\\,\\text{km}\\).", "It is speed = 5 km.")]
#[case::a_box("It is \\boxed{42}.", "It is 42.")]
#[case::a_command("It is 5 \\times 3 or \\frac{1}{2}.", "It is 5 × 3 or 1/2.")]
#[case::degrees("It is $20^\\circ$ and 5\\%.", "It is 20° and 5%.")]
#[case::an_escaped_price("It is \\$5 and \\$10.", "It is $5 and $10.")]
#[case::escaped_brackets("Call \\(555\\) 0123.", "Call 555 0123.")]
#[case::nothing_but_thought("<think>Hm. They want", "")]
#[case::nothing_but_a_cut_tag("<tool_c", "")]
#[case::nothing_but_a_call("{\"name\": \"book\", \"argum", "")]
#[case::nothing_but_an_emoji("🙂", "")]
fn what_is_written_is_made_speakable(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(spoken(text), expected);
}

#[test]
fn a_thought_without_a_beginning_takes_back_what_was_given_out() {
    let (mut cleaner, mut out) = (Cleaner::new(), String::new());
    for c in "They want a room. I look.".chars() {
        assert_eq!(cleaner.push(c, &mut out), Flow::On);
    }
    assert_eq!(out, "They want a room. I look.");
    let flows: Vec<_> = "</think>Yes".chars().map(|c| cleaner.push(c, &mut out)).collect();
    assert_eq!((flows.iter().filter(|flow| **flow == Flow::Retract).count(), &*out), (1, "Yes"));
}

#[test]
fn what_waits_for_its_meaning_is_bounded() {
    for begin in [
        "<a b=",
        "[",
        "{\"",
        "*laughs ",
        "(laughs ",
        "https://",
        "| a ",
        "&a",
        "<|channel|>",
        "`",
        "【",
        "![",
        ":a",
        "$x",
        "$$x",
        "\\(x",
        "\\[",
        "\\frac{",
        "\\begin{",
        " [",
        "[1",
        "[1][",
        "[[1]](",
        "<<SYS>>",
        "[INST]",
    ] {
        let (mut cleaner, mut out) = (Cleaner::new(), String::new());
        for c in begin.chars().chain("x".repeat(3 * PENDING_MAX).chars()) {
            let _ = cleaner.push(c, &mut out);
            assert!(cleaner.pending.len() <= PENDING_MAX, "{begin}");
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z]{1,8}",
        4 => Just(" ".to_owned()),
        6 => prop::sample::select(vec![
            "<think>", "</think>", "<", ">", "<|channel|>final<|message|>", "<|end|>", "[", "](http://a.b/c)", "]", "*",
            "**", "_", "(laughs)", "(", ")", "`", "```\n", "|", "\n", "\n- ", "{\"a\":", "}", "&amp;", "&", "【1†a】",
            "$", "$$", "$5", "\\(", "\\)", "\\[", "\\]", "\\frac{1}{2}", "^2", "{", "[1]", "[1][2]", "[^1]: ", "[[1]]",
            "[citation:3]", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<|im_start|>", "<|user|>", "Press ",
            "https://x.y/z", ":", ";", ":)", "\\", "👋", "Assistant:", "\nUser:", "1", "2 * 3", "。", "ä", "!", "~~",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_is_kept_back_at_the_end(text in text()) {
        let (mut cleaner, mut out) = (Cleaner::new(), String::new());
        for c in text.chars() {
            let _ = cleaner.push(c, &mut out);
        }
        let _ = cleaner.finish(&mut out);
        prop_assert!(cleaner.pending.is_empty());
    }

    #[test]
    fn plain_words_are_never_lost(words in "[a-gi-vx-zA-Z]{1,9}( [b-gi-vx-z]{1,9}[.,!?]?){0,20}") {
        prop_assert_eq!(clean([&*words]), words);
    }
}
