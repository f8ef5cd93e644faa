//! What any bridge with these sockets has to do, and nothing else: takes each message of a caller to the model and
//! each message of the model to the caller, unchanged. One task for each call, no resampling, no JSON.
//!
//! The same libraries, buffers and TLS as the bridge has, so that the difference is what the bridge does itself.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message as CarrierMessage, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use axum::serve::ListenerExt as _;
use futures_util::{SinkExt as _, StreamExt as _};
use patchcord::net::{Limits, dial};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::{Message as ModelMessage, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::machine;

/// Relays to the model at this port of this machine.
pub(crate) async fn run(port: u16, certificate: &Path) {
    let certificate = CertificateDer::from(std::fs::read(certificate).unwrap());
    let tls = dial::tls([certificate]);
    let open = move |upgrade: WebSocketUpgrade| {
        let limits = Limits::CARRIER;
        let upgrade = upgrade
            .read_buffer_size(limits.read_buffer)
            .write_buffer_size(limits.write_buffer)
            .max_write_buffer_size(limits.write_buffer_max);
        async move {
            upgrade.on_upgrade(async move |carrier| {
                let model = connect(port, Arc::clone(tls.tls())).await;
                relay(carrier, model).await;
            })
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    machine::ready(&listener.local_addr().unwrap().port().to_string());
    let listener = listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap());
    let serving = axum::serve(listener, Router::new().route("/", any(open)));
    tokio::select! {
        result = serving => result.unwrap(),
        () = machine::dismissed() => {}
    }
}

async fn connect(port: u16, tls: Arc<ClientConfig>) -> WebSocketStream<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(tls).connect(name, tcp).await.unwrap();
    let config = Some(Limits::CARRIER.config());
    client_async_with_config(format!("wss://localhost:{port}/"), stream, config).await.unwrap().0
}

/// To the end of either side.
async fn relay(mut carrier: WebSocket, mut model: WebSocketStream<TlsStream<TcpStream>>) {
    loop {
        let is_sent = tokio::select! {
            message = carrier.next() => match message {
                Some(Ok(CarrierMessage::Text(text))) => {
                    // Validates a second time, which the types of the two libraries demand.
                    let text = Utf8Bytes::try_from(bytes::Bytes::from(text)).unwrap();
                    model.send(ModelMessage::Text(text)).await.is_ok()
                }
                Some(Ok(CarrierMessage::Binary(data))) => model.send(ModelMessage::Binary(data)).await.is_ok(),
                Some(Ok(CarrierMessage::Ping(_) | CarrierMessage::Pong(_))) => true,
                Some(Ok(CarrierMessage::Close(_)) | Err(_)) | None => false,
            },
            message = model.next() => match message {
                Some(Ok(ModelMessage::Text(text))) => {
                    let text = axum::extract::ws::Utf8Bytes::try_from(bytes::Bytes::from(text)).unwrap();
                    carrier.send(CarrierMessage::Text(text)).await.is_ok()
                }
                Some(Ok(ModelMessage::Binary(data))) => carrier.send(CarrierMessage::Binary(data)).await.is_ok(),
                Some(Ok(ModelMessage::Ping(_) | ModelMessage::Pong(_) | ModelMessage::Frame(_))) => true,
                Some(Ok(ModelMessage::Close(_)) | Err(_)) | None => false,
            },
        };
        if !is_sent {
            return;
        }
    }
}
