"""The official google-genai SDK holds a telephone conversation with the simulated service.

Usage: gemini_sdk.py BASE_URL, with SSL_CERT_FILE naming the simulator's CA.

A recorded caller speaks in real time, 20 ms at a time; the script expects the embedded shop scenario in the
manner of gemini-3.8-live. Exits with 0 only if everything came as it should.
"""

import asyncio
import struct
import sys
import time
from pathlib import Path

from google import genai
from google.genai import errors, types

CALLER = Path("fixtures/audio/human-caller-side-buys-a-chromecast.wav")
# Where the caller's first three turns are in the recording, in milliseconds.
TURNS = [(950, 5350), (8750, 10300), (14200, 16850)]
HEARD = [
    "Hi, I'd like to buy a Chromecast and I was wondering whether you could help me with that.",
    "Let's go with the black one.",
    "Um, regular Chromecast is fine, thank you.",
]
SAID = [
    "Certainly, which color would you like? We have blue, black, and red.",
    "Okay, great. Would you like the new Chromecast Ultra model or the regular Chromecast?",
    "Okay, sure. Would you like to ship it regular or Express?",
]
# Lengths of the first and the third answer, in seconds.
ANSWER_1, ANSWER_3 = 3.65, 3.65
BYTES_PER_SECOND_OUT = 48_000
MODEL = "gemini-3.8-live"


def mulaw_to_pcm(byte):
    byte = ~byte & 0xFF
    magnitude = ((((byte & 0x0F) << 1) + 33) << ((byte >> 4) & 7)) - 33 << 2
    return -magnitude if byte & 0x80 else magnitude


def read_caller():
    """The recording as 16 kHz samples."""
    wav = CALLER.read_bytes()
    at = wav.index(b"data")
    (length,) = struct.unpack_from("<I", wav, at + 4)
    line = [mulaw_to_pcm(byte) for byte in wav[at + 8 : at + 8 + length]]
    samples = []
    for one, other in zip(line, line[1:] + line[-1:]):
        samples += [one, (one + other) // 2]
    return samples


class Caller:
    """Sends silence in real time, and speech when there is some."""

    def __init__(self, session):
        self.session = session
        self.recording = read_caller()
        self.waiting = []

    def say(self, turn):
        start, end = TURNS[turn]
        self.waiting += self.recording[start * 16 : end * 16]

    async def run(self):
        begun = time.monotonic()
        count = 0
        while True:
            chunk, self.waiting = self.waiting[:320], self.waiting[320:]
            chunk += [0] * (320 - len(chunk))
            data = struct.pack("<320h", *chunk)
            await self.session.send_realtime_input(
                audio=types.Blob(data=data, mime_type="audio/pcm;rate=16000")
            )
            count += 1
            await asyncio.sleep(max(0.0, begun + count * 0.02 - time.monotonic()))


class Turn:
    """What one turn of the model brought."""

    def __init__(self):
        self.heard = self.said = ""
        self.audio = bytearray()
        self.events = []

    def take(self, message):
        content = message.server_content
        if message.voice_activity:
            self.events.append("activity")
        if content is None:
            return
        if content.input_transcription and content.input_transcription.text:
            self.heard += content.input_transcription.text
        if content.output_transcription and content.output_transcription.text:
            self.said += content.output_transcription.text
        if content.model_turn:
            for part in content.model_turn.parts or []:
                if part.inline_data:
                    check(part.inline_data.mime_type == "audio/pcm;rate=24000", part.inline_data.mime_type)
                    self.audio += part.inline_data.data
        for event in ("interrupted", "generation_complete", "turn_complete"):
            if getattr(content, event):
                self.events.append(event)
        if content.turn_complete:
            check(message.usage_metadata is not None, "usage comes with turn_complete")

    def seconds(self):
        return len(self.audio) / BYTES_PER_SECOND_OUT


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def check_answer(turn, index, seconds):
    check(turn.said == SAID[index], f"said {turn.said!r}")
    check(abs(turn.seconds() - seconds) < 0.05, f"{turn.seconds()} s of audio")
    check(turn.events[-2:] == ["generation_complete", "turn_complete"], f"{turn.events}")


async def receive_turn(session, on_audio=None):
    """One turn of the model, up to its turn_complete."""
    turn = Turn()
    async for message in session.receive():
        turn.take(message)
        if on_audio and turn.seconds() > 0.5:
            on_audio()
            on_audio = None
    check("turn_complete" in turn.events, f"the turn ended with {turn.events}")
    return turn


async def converse(client):
    config = types.LiveConnectConfig(
        response_modalities=["AUDIO"],
        system_instruction="You sell things.",
        speech_config={"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}},
        realtime_input_config={
            "automatic_activity_detection": {"prefix_padding_ms": 60, "silence_duration_ms": 500}
        },
        input_audio_transcription={},
        output_audio_transcription={},
        session_resumption={},
        context_window_compression={"trigger_tokens": 25600, "sliding_window": {"target_tokens": 12800}},
    )
    async with client.aio.live.connect(model=MODEL, config=config) as session:
        caller = Caller(session)
        sending = asyncio.create_task(caller.run())
        try:
            caller.say(0)
            begun = time.monotonic()
            first = await receive_turn(session)
            took = time.monotonic() - begun
            check(first.heard == HEARD[0], f"heard {first.heard!r}")
            check_answer(first, 0, ANSWER_1)
            check(took > 4.4 + ANSWER_1, f"the turn was complete after {took} s, before it was played")

            caller.say(1)
            cut = await receive_turn(session, on_audio=lambda: caller.say(2))
            check(cut.heard == HEARD[1], f"heard {cut.heard!r}")
            check(cut.events[-2:] == ["interrupted", "turn_complete"], f"{cut.events}")

            last = await receive_turn(session)
            check(last.heard == HEARD[2], f"heard {last.heard!r}")
            check_answer(last, 2, ANSWER_3)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        check(sending.cancelled(), "the caller's audio was taken to the end")


async def come_back(client):
    """The simulator tells this connection to go after its first turn; the next one goes on with the second."""
    config = {"response_modalities": ["AUDIO"], "output_audio_transcription": {}}
    handle = None
    for index in (0, 1):
        async with client.aio.live.connect(
            model=MODEL, config={**config, "session_resumption": {"handle": handle}}
        ) as session:
            caller = Caller(session)
            sending = asyncio.create_task(caller.run())
            try:
                caller.say(index)
                turn = await receive_turn(session)
                check(turn.heard == HEARD[index], f"heard {turn.heard!r}")
                check(turn.said == SAID[index], f"said {turn.said!r}")
                if index == 0:
                    handle = await receive_farewell(session)
            finally:
                sending.cancel()
                await asyncio.wait([sending])


async def receive_farewell(session):
    """What follows the turn: the newest handle, then goAway."""
    handle = None
    async for message in session.receive():
        update = message.session_resumption_update
        if update and update.resumable and update.new_handle:
            handle = update.new_handle
        if message.go_away:
            check(message.go_away.time_left == "30s", f"time left {message.go_away.time_left!r}")
            break
    check(handle is not None, "a handle comes after the turn")
    return handle


async def be_refused(client):
    """A voice that does not exist closes the socket with 1007."""
    config = {"response_modalities": ["AUDIO"], "speech_config": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Bob"}}}}
    try:
        async with client.aio.live.connect(model=MODEL, config=config) as session:
            async for _ in session.receive():
                pass
    except errors.APIError as error:
        check(error.code == 1007, f"refused with {error.code}")
        return
    except Exception as error:  # The SDK lets the close of its WebSocket library through while connecting.
        check("1007" in str(error) and "Bob" in str(error), f"refused with {error!r}")
        return
    raise AssertionError("a voice that does not exist was taken")


async def main(base_url):
    for version in (None, "v1beta"):
        options = types.HttpOptions(base_url=base_url, api_version=version)
        client = genai.Client(api_key="any", http_options=options)
        await asyncio.wait_for(be_refused(client), 10)
        if version == "v1beta":
            await asyncio.wait_for(converse(client), 60)
            await asyncio.wait_for(come_back(client), 60)
    print("the official SDK holds a conversation with the simulated service, leaves when told and comes back")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
