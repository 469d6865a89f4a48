//! `rialto health`: asks the running bridge whether it is ready. Exits 0 or 1 only, as container runtimes want it.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use url::Url;

use super::{Exit, Settings};

/// For connecting, and for each read.
const TIMEOUT: Duration = Duration::from_secs(3);

/// An answer longer than this is not a probe's.
const ANSWER_MAX: u64 = 64 * 1024;

/// Ask the running bridge whether it is ready; exits 0 or 1
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to ask, instead of /readyz at the configuration's telemetry.listen
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Never fails otherwise than with exit 1: a container runtime reserves the other codes.
pub(super) fn run(args: &Args, settings: &Settings) -> Exit {
    match ask(args, settings) {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("not ready: {error:#}");
            Exit::Failed
        }
    }
}

fn ask(args: &Args, settings: &Settings) -> anyhow::Result<()> {
    let written = if let Some(url) = &args.url {
        url.clone()
    } else {
        let listen = settings.telemetry().context("`telemetry` is off: there is nothing to ask")?;
        format!("http://{}/readyz", reachable(listen))
    };
    let url = Url::parse(&written).with_context(|| format!("`{written}` is no URL"))?;
    get(&url).with_context(|| format!("{url}"))
}

/// A listener on every address is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn get(url: &Url) -> anyhow::Result<()> {
    if url.scheme() != "http" {
        bail!("only http is asked");
    }
    let host = url.host_str().ok_or_else(|| anyhow!("no host"))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let mut stream = connect(host, port)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer)?;
    judge(&String::from_utf8_lossy(&answer))
}

fn connect(host: &str, port: u16) -> anyhow::Result<TcpStream> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = anyhow!("the name has no address");
    for address in (name, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Status 200, or what the answer says.
fn judge(answer: &str) -> anyhow::Result<()> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.lines().next().and_then(|line| line.strip_prefix("HTTP/1."));
    match status.and_then(|rest| rest.split(' ').nth(1)) {
        Some("200") => Ok(()),
        Some(code) => bail!("{code} {}", body.trim().replace('\n', "; ")),
        None => bail!("that is no HTTP answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_on_loopback() {
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()), "127.0.0.1:1".parse().unwrap());
        assert_eq!(reachable("[::]:1".parse().unwrap()), "[::1]:1".parse().unwrap());
        assert_eq!(reachable("10.0.0.7:1".parse().unwrap()), "10.0.0.7:1".parse().unwrap());
    }

    #[test]
    fn only_200_is_ready() {
        assert!(judge("HTTP/1.1 200 OK\r\n\r\nok\n").is_ok());
        let error = judge("HTTP/1.1 503 Service Unavailable\r\n\r\n[-] accepting: shutting down\nfailed\n").unwrap_err();
        assert_eq!(error.to_string(), "503 [-] accepting: shutting down; failed");
        assert!(judge("220 smtp ready\r\n").is_err());
        assert!(judge("").is_err());
    }
}
