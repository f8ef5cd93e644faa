//! `patchcord simulate load-model`: the model of a load test, in a process of its own.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpListener;

use crate::load::model::Model;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen, with TLS by a certificate authority made at the start.
    #[arg(long, default_value = "127.0.0.1:8444")]
    listen: String,
    /// Where a load test asks what was heard.
    #[arg(long, default_value = "127.0.0.1:8445")]
    control: String,
    /// Write the authority's certificate to this file; the server trusts it by `live.ca_file`.
    #[arg(long, value_name = "FILE")]
    ca_out: PathBuf,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    // One thread costs less than several that hand connections to each other.
    let (ended, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(serve(args)));
        // Nobody waits any more when the process ends.
        let _ = ended.send(outcome);
    });
    wait.await.context("the load model ended by itself")?
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let bind = async |address: &str| {
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
    };
    let model = Model::new(bind(&args.listen).await?, bind(&args.control).await?)?;
    let path = args.ca_out.display();
    std::fs::write(&args.ca_out, model.ca_pem()).with_context(|| format!("cannot write {path}"))?;
    let port = model.local_addr()?.port();
    let about = json!({
        "endpoint": format!("wss://localhost:{port}"),
        "control": model.control_addr()?.to_string(),
        "ca_file": args.ca_out,
    });
    outln!("{about}");
    tokio::select! {
        () = model.run() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
