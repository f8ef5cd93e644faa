//! A carrier under the thumb of a test: what it sends, and when it goes away, is the test's business.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use patchcord::audio::g711;
use patchcord::carrier::signature::{Algorithm, sign};
use patchcord::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{AUTH_TOKEN, Front, speech};

/// One call with its media stream. Dropping it is a carrier that vanishes.
pub(crate) struct Phone {
    socket: WebSocketStream<TcpStream>,
}

impl Phone {
    /// From the webhook to `start`.
    pub(crate) async fn call(front: &Front, call_sid: &str) -> Self {
        let document = post(front, "/twilio/voice", call_sid).await;
        let stream = document.split("<Stream url=\"").nth(1).expect(&document);
        let stream = stream.split('"').next().unwrap().to_owned();
        let mut upgrade = stream.as_str().into_client_request().unwrap();
        let signature = sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), &stream, &[]);
        upgrade.headers_mut().insert("X-Twilio-Signature", signature.parse().unwrap());
        let tcp = TcpStream::connect(address(front)).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (socket, _) = client_async(upgrade, tcp).await.unwrap();
        let mut phone = Self { socket };
        phone.send(r#"{"event":"connected"}"#.to_owned()).await;
        let start = format!(
            r#"{{"event":"start","start":{{"streamSid":"MZ1","callSid":"{}","accountSid":"{ACCOUNT}","mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}},"streamSid":"MZ1"}}"#,
            sid(call_sid)
        );
        phone.send(start).await;
        phone
    }

    /// Half a second of speech, faster than anybody speaks.
    pub(crate) async fn speak(&mut self) {
        for audio in speech().chunks(800) {
            self.send_media(audio).await;
        }
    }

    /// Speech and more than a second of silence.
    pub(crate) async fn ask(&mut self) {
        self.speak().await;
        for _ in 0..12 {
            self.send_media(&[g711::MULAW_SILENCE; 800]).await;
        }
    }

    /// A moment of quiet and a loud one, in one message.
    pub(crate) async fn burst(&mut self) {
        let mut audio = vec![g711::MULAW_SILENCE; 800];
        audio.extend([g711::encode(12_000); 160]);
        self.send_media(&audio).await;
    }

    /// One message of audio, however long it lasts.
    pub(crate) async fn send_media(&mut self, audio: &[u8]) {
        let payload = STANDARD.encode(audio);
        let media = format!(
            r#"{{"event":"media","media":{{"track":"inbound","payload":"{payload}"}},"streamSid":"MZ1"}}"#
        );
        self.send(media).await;
    }

    /// Waits for sound.
    pub(crate) async fn hear(&mut self) {
        while let Some(Ok(message)) = self.socket.next().await {
            if message.to_text().is_ok_and(|text| text.contains("\"media\"")) {
                return;
            }
        }
        panic!("the stream ended without a sound");
    }

    /// What comes next, of no interest.
    pub(crate) async fn listen(&mut self) {
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    pub(crate) async fn hang_up(mut self) {
        self.send(r#"{"event":"stop","stop":{},"streamSid":"MZ1"}"#.to_owned()).await;
        self.listen().await;
    }

    async fn send(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }
}

fn address(front: &Front) -> &str {
    front.url.trim_start_matches("http://")
}

const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// An id of the carrier's form for each name.
fn sid(name: &str) -> String {
    let digits: String = name.bytes().rev().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("CA{digits:0>32}")
}

/// One signed request on a connection of its own.
pub(crate) async fn post(front: &Front, path: &str, call_sid: &str) -> String {
    let call_sid = sid(call_sid);
    let body = format!("CallSid={call_sid}&AccountSid={ACCOUNT}&From=%2B14155550123&To=%2B13125550142");
    let fields = [
        ("CallSid", call_sid.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", "+14155550123"),
        ("To", "+13125550142"),
    ];
    let pairs = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let url = format!("{}{path}", front.url);
    let signature = sign(Algorithm::HmacSha1, &Secret::new(AUTH_TOKEN), &url, &pairs);
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nx-twilio-signature: {signature}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        address(front),
        body.len()
    );
    let mut tcp = TcpStream::connect(address(front)).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}
