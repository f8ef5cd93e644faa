//! Connects to Postgres although the first address of its host does not answer.
//!
//! sqlx tries the addresses of a host one after the other, and leaves one only when the operating system gives it up:
//! that takes longer than any deadline here. So where a connection takes long, the addresses are raced (RFC 8305), and
//! sqlx is given the one that answered. It takes no socket that is open already, and by the bare address it could not
//! check a certificate for the name of the host (`sslmode=verify-full`): it gets a Unix socket, and what goes through
//! that is copied.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;
use uuid::Uuid;

use crate::net::names::Names;
use crate::net::race;

/// An address that has not answered by then may be dead. A connection to a healthy server takes a part of it, and leaves
/// no second one in the server's log.
const DIRECT: Duration = Duration::from_millis(800);

/// How long the answer about the name of the host may take.
const NAME_MAX: Duration = Duration::from_secs(5);

/// How long sqlx may take to open the Unix socket that was made for it.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Connects directly, or by a race of the addresses once that takes long. Waits without end: the caller has a deadline.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut direct = std::pin::pin!(options.connect());
    if let Ok(connected) = timeout(DIRECT, &mut direct).await {
        return connected;
    }
    if options.get_socket().is_some() {
        return direct.await;
    }
    tokio::select! {
        connected = &mut direct => connected,
        connection = around(options) => match connection {
            Some(connection) => Ok(connection),
            None => direct.await,
        },
    }
}

async fn around(options: &PgConnectOptions) -> Option<PgConnection> {
    let port = options.get_port();
    let folder = open(Names::shared(), options.get_host(), port).await?;
    options.clone().socket(folder).connect().await.ok()
}

/// The folder of a Unix socket that leads to the address of the host that answers first.
async fn open(names: &Arc<Names>, host: &str, port: u16) -> Option<String> {
    let tcp = race::connect(names, host, port, NAME_MAX).await.ok()?;
    // A name in the abstract namespace of Linux: no file is left behind.
    let folder = format!("\0patchcord-{}", Uuid::now_v7());
    let listener = UnixListener::bind(path(&folder, port)).ok()?;
    tokio::spawn(relay(listener, tcp));
    Some(folder)
}

/// Where sqlx looks for the socket of a folder.
fn path(folder: &str, port: u16) -> String {
    format!("{folder}/.s.PGSQL.{port}")
}

/// Ends when either side closes.
async fn relay(listener: UnixListener, mut tcp: TcpStream) -> io::Result<()> {
    let mut own = timeout(OPEN_MAX, accept_own(&listener)).await??;
    drop(listener);
    copy_bidirectional(&mut own, &mut tcp).await.map(drop)
}

/// The connection of this process. Others can see the name of the socket; what they open is closed.
async fn accept_own(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (stream, _) = listener.accept().await?;
        let process = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
        if process == Some(std::process::id()) {
            return Ok(stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use rstest::rstest;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::names::Family;

    /// Nothing listens at 127.0.0.9; 192.0.2.1 is of a network that does not exist (RFC 5737).
    #[rstest]
    #[case::alone(&["127.0.0.1"])]
    #[case::second(&["127.0.0.9", "127.0.0.1"])]
    #[case::behind_a_dead_one(&["192.0.2.1", "127.0.0.1"])]
    #[case::behind_several(&["192.0.2.1", "192.0.2.2", "127.0.0.9", "127.0.0.1"])]
    #[tokio::test]
    async fn bytes_go_both_ways_by_the_address_that_answers(#[case] addresses: &[&str]) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let names = Names::new(move |_, family| match family {
            Family::V4 => Ok(addresses.clone()),
            Family::V6 => Ok(Vec::new()),
        });
        let folder = open(&names, "db.example", port).await.unwrap();
        let mut client = UnixStream::connect(path(&folder, port)).await.unwrap();
        let (mut peer, _) = server.accept().await.unwrap();
        let mut bytes = [0; 4];
        client.write_all(b"ping").await.unwrap();
        peer.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
        peer.write_all(b"pong").await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"pong");
        drop(client);
        assert_eq!(peer.read(&mut bytes).await.unwrap(), 0, "the end is told too");
    }

    #[tokio::test]
    async fn a_host_without_an_address_that_answers_has_no_detour() {
        let names = Names::new(|_, _| Ok(vec![IpAddr::from([127, 0, 0, 9])]));
        assert_eq!(open(&names, "db.example", 9).await, None);
    }
}
