"""The official clients of five services talk with the simulated providers.

Usage: providers.py BASE_URL KEY CALLER_WAV. The simulator takes KEY alone; the third request to a language model is
refused with 429, and the fourth answer is cut (`llm=refuse:429@3x1`, `llm=cut@4x1`). Exits with 0 only if
everything came as it should.
"""

import io
import struct
import sys
import wave

import anthropic
import httpx
import ollama
import openai
from google import genai
from google.api_core import exceptions as google_errors
from google.cloud import speech, texttospeech
from google.genai import errors, types

QUESTION = "I would like to know how old is the Brooklyn Bridge?"
ANSWER = (
    "The Brooklyn Bridge was opened in eighteen eighty three, so it is more than one hundred and forty years old. "
    "Would you like to know anything else?"
)
LINE = "Good morning."
SECONDS = len(LINE) * 0.06
INSTRUCTION = "You are a phone agent."


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_raises(kinds, status, call):
    """The client understands the refusal: its own exception, with the status."""
    try:
        call()
    except kinds as error:
        found = getattr(error, "status_code", getattr(error, "code", None))
        found = getattr(found, "value", found)
        check(status is None or found == status, f"refused with {error!r}")
        return error
    raise AssertionError(f"{status} was not told")


def talk_faults(base, key):
    """Before anything else: the first four requests to a language model."""
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)
    asked = {"model": "gpt-sim", "messages": [{"role": "user", "content": QUESTION}]}
    for _ in range(2):
        check(client.chat.completions.create(**asked).choices[0].message.content == ANSWER, "two good answers")
    error = check_raises(openai.RateLimitError, 429, lambda: client.chat.completions.create(**asked))
    check(error.code == "rate_limit_exceeded", error.code)
    stream = client.chat.completions.create(**asked, stream=True)
    check_raises((openai.APIConnectionError, httpx.HTTPError), None, lambda: list(stream))
    print("faults: the client is refused for a while, and told of a stream that is cut")


def talk_openai(base, key, caller):
    client = openai.OpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0)
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": QUESTION}]
    whole = client.chat.completions.create(model="gpt-sim", messages=messages, temperature=0.3)
    check(whole.choices[0].message.content == ANSWER and whole.choices[0].finish_reason == "stop", whole)
    check(whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens, whole.usage)

    chunks = list(
        client.chat.completions.create(
            model="gpt-sim", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    check("".join(said) == ANSWER and len(said) > 20, said)
    check(chunks[-1].usage.completion_tokens == whole.usage.completion_tokens, chunks[-1])

    heard = client.audio.transcriptions.create(model="gpt-transcribe", file=("caller.wav", caller))
    check(heard.text == "Where is my order?", heard)
    text = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", caller), response_format="text")
    check(text == "This is 23.4 seconds of speech.\n", repr(text))
    verbose = client.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", caller), response_format="verbose_json", language="en"
    )
    check(verbose.segments[0].end == verbose.duration, verbose)

    said = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": LINE}
    with client.audio.speech.with_streaming_response.create(**said, response_format="pcm") as response:
        pieces = list(response.iter_bytes())
    pcm = b"".join(pieces)
    check(len(pcm) == round(SECONDS * 48_000) and len(pieces) > 1, f"{len(pcm)} bytes, {len(pieces)} pieces")
    wav = client.audio.speech.create(**said, response_format="wav").content
    check(wav[:4] == b"RIFF" and wav[44:] == pcm, wav[:44])

    check([model.id for model in client.models.list()][0] == "gpt-sim", "models")
    stranger = openai.OpenAI(base_url=f"{base}/v1", api_key="wrong", max_retries=0)
    error = check_raises(openai.AuthenticationError, 401, lambda: stranger.models.list())
    check(error.code == "invalid_api_key", error.code)
    check_raises(openai.BadRequestError, 400, lambda: client.chat.completions.create(model="g", messages=[]))
    print(f"openai {openai.__version__}: chat, stream, transcription, speech, models, errors")


def talk_anthropic(base, key):
    client = anthropic.Anthropic(base_url=base, api_key=key, max_retries=0)
    asked = {
        "model": "claude-sim",
        "max_tokens": 300,
        "system": INSTRUCTION,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    whole = client.messages.create(**asked)
    check(whole.content[0].text == ANSWER and whole.stop_reason == "end_turn", whole)
    with client.messages.stream(**asked) as stream:
        pieces = list(stream.text_stream)
        last = stream.get_final_message()
    check("".join(pieces) == ANSWER and len(pieces) > 20, pieces)
    check(last.content[0].text == ANSWER and last.usage.output_tokens == len(pieces), last)
    stranger = anthropic.Anthropic(base_url=base, api_key="wrong", max_retries=0)
    check_raises(anthropic.AuthenticationError, 401, lambda: stranger.messages.create(**asked))
    check_raises(anthropic.BadRequestError, 400, lambda: client.messages.create(**asked | {"messages": []}))
    print(f"anthropic {anthropic.__version__}: message, stream, errors")


def talk_gemini(base, key, caller):
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=base))
    config = types.GenerateContentConfig(
        system_instruction=INSTRUCTION,
        temperature=0.3,
        max_output_tokens=300,
        thinking_config=types.ThinkingConfig(thinking_level="LOW"),
    )
    asked = {"model": "gemini-3.8-flash", "contents": QUESTION, "config": config}
    whole = client.models.generate_content(**asked)
    check(whole.text == ANSWER and whole.candidates[0].finish_reason == "STOP", whole)
    replies = list(client.models.generate_content_stream(**asked))
    check("".join(reply.text or "" for reply in replies) == ANSWER and len(replies) > 20, replies)
    check(replies[-1].candidates[0].finish_reason == "STOP", replies[-1])
    check(replies[-1].usage_metadata.candidates_token_count == len(replies) - 1, replies[-1])

    audio = types.Part.from_bytes(data=caller, mime_type="audio/wav")
    heard = client.models.generate_content(model="gemini-3.8-flash", contents=["Transcribe this.", audio])
    check(heard.text == "This is 23.4 seconds of speech.", heard)

    voice = types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore"))
    spoken = types.GenerateContentConfig(
        response_modalities=["AUDIO"], speech_config=types.SpeechConfig(voice_config=voice)
    )
    asked = {"model": "gemini-3.1-flash-tts-preview", "contents": LINE, "config": spoken}
    blob = client.models.generate_content(**asked).candidates[0].content.parts[0].inline_data
    check(blob.mime_type == "audio/L16;codec=pcm;rate=24000", blob.mime_type)
    check(len(blob.data) == round(SECONDS * 48_000), f"{len(blob.data)} bytes")
    replies = list(client.models.generate_content_stream(**asked))
    pieces = [part.inline_data.data for reply in replies for part in reply.candidates[0].content.parts or []]
    check(b"".join(pieces) == blob.data and len(pieces) > 1, f"{len(pieces)} pieces")

    stranger = genai.Client(api_key="wrong", http_options=types.HttpOptions(base_url=base))
    error = check_raises(
        errors.ClientError, 400, lambda: stranger.models.generate_content(model="gemini-3.8-flash", contents="Hi")
    )
    check("API_KEY_INVALID" in str(error.details), error.details)
    print(f"google-genai {genai.__version__}: text, stream, audio input, speech, errors")


def talk_ollama(base):
    client = ollama.Client(host=base)
    asked = {"model": "llama", "messages": [{"role": "user", "content": QUESTION}]}
    whole = client.chat(**asked)
    check(whole.message.content == ANSWER and whole.done_reason == "stop" and whole.eval_count > 20, whole)
    parts = list(client.chat(**asked, stream=True))
    check("".join(part.message.content for part in parts) == ANSWER and parts[-1].done, parts)
    robot = {"role": "robot", "content": "Hi"}
    check_raises(ollama.ResponseError, 400, lambda: client.chat(model="llama", messages=[robot]))
    print("ollama: chat, stream, errors")


def talk_google(base, key, caller):
    """The clients of Cloud Speech and Text-to-Speech, over REST."""
    options = {"api_endpoint": base, "api_key": key}
    recognizer = speech.SpeechClient(client_options=options, transport="rest")
    line = caller[caller.index(b"data") + 8 :]
    config = speech.RecognitionConfig(
        encoding=speech.RecognitionConfig.AudioEncoding.MULAW,
        sample_rate_hertz=8000,
        language_code="en-US",
        model="phone_call",
        use_enhanced=True,
        enable_automatic_punctuation=True,
    )
    heard = recognizer.recognize(config=config, audio=speech.RecognitionAudio(content=line[:16_000]))
    check(heard.results[0].alternatives[0].transcript == "This is 2.0 seconds of speech.", heard)
    check(heard.results[0].result_end_time.total_seconds() == 2.0, heard)
    silence = recognizer.recognize(config=config, audio=speech.RecognitionAudio(content=b"\xff" * 8000))
    check(not silence.results and silence.total_billed_time.total_seconds() == 1.0, silence)
    nothing = speech.RecognitionAudio(content=b"")
    check_raises(google_errors.BadRequest, 400, lambda: recognizer.recognize(config=config, audio=nothing))

    speaker = texttospeech.TextToSpeechClient(client_options=options, transport="rest")
    encodings = texttospeech.AudioEncoding
    lengths = {}
    for encoding in (encodings.LINEAR16, encodings.MULAW, encodings.PCM):
        spoken = speaker.synthesize_speech(
            input=texttospeech.SynthesisInput(text=LINE),
            voice=texttospeech.VoiceSelectionParams(language_code="en-US", name="en-US-Neural2-F"),
            audio_config=texttospeech.AudioConfig(audio_encoding=encoding, sample_rate_hertz=8000),
        )
        lengths[encoding.name] = len(spoken.audio_content)
        if encoding == encodings.LINEAR16:
            with wave.open(io.BytesIO(spoken.audio_content)) as wav:
                found = (wav.getframerate(), wav.getnchannels(), wav.getnframes())
            check(found == (8000, 1, round(SECONDS * 8000)), found)
        if encoding == encodings.MULAW:
            check(struct.unpack_from("<HH", spoken.audio_content, 20) == (7, 1), spoken.audio_content[:44])
    frames = round(SECONDS * 8000)
    check(lengths == {"LINEAR16": 44 + 2 * frames, "MULAW": 44 + frames, "PCM": 2 * frames}, lengths)
    print(f"google-cloud-speech {speech.__version__}, google-cloud-texttospeech {texttospeech.__version__}: over REST")


def main(base, key, path):
    with open(path, "rb") as file:
        caller = file.read()
    talk_faults(base, key)
    talk_openai(base, key, caller)
    talk_anthropic(base, key)
    talk_gemini(base, key, caller)
    talk_ollama(base)
    talk_google(base, key, caller)
    print("the official clients talk with the simulated providers")


if __name__ == "__main__":
    main(*sys.argv[1:])
