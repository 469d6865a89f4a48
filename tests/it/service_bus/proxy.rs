//! A proxy that the environment names, as in a network that has no other way out.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Stdio,
    sync::mpsc,
    thread,
};

use crate::cli::{Answer, Place};

const HOST: &str = "bus.example.invalid";

/// Answers every request that it is sent like this. The name of this machine is written out, so that it must be looked up.
fn proxy(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
    let (tell, asked) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let Some(first) = lines.next() else { continue };
            lines.for_each(drop);
            // A client that is gone asks nothing more, and the test has ended where nobody listens.
            if write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").is_ok()
                && tell.send(first).is_err()
            {
                return;
            }
        }
    });
    (address, asked)
}

fn check(scheme: &str, variable: &str, proxy: &str) -> Answer {
    let place = Place::with(&format!(
        "{{ brokers: {{ here: {{ stdio: {{}} }}, bus: {{ service_bus: {{ namespace: contoso, policy: send, key: k, \
         endpoint: '{scheme}://{HOST}' }} }} }}, sources: {{ in: {{ broker: here, lines: stdin }} }}, \
         routes: [{{ from: in, to: bus/orders }}] }}"
    ));
    let mut command = place.command(&["check", "--connect"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    Answer::of(command.env(variable, proxy).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs"))
}

#[test]
fn a_named_proxy_is_asked_for_the_namespace_by_name() {
    let (address, asked) = proxy("200 OK");
    let answer = check("http", "HTTP_PROXY", &address);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(asked.try_recv().expect("asked"), format!("GET http://{HOST}/ HTTP/1.1"));
}

#[test]
fn a_proxy_that_refuses_the_tunnel_is_said() {
    let (address, asked) = proxy("403 Forbidden");
    let answer = check("https", "HTTPS_PROXY", &address);
    assert_eq!(asked.try_recv().expect("asked"), format!("CONNECT {HOST}:443 HTTP/1.1"));
    assert_eq!(answer.code, 69, "{answer:?}");
    assert!(answer.err.contains(HOST), "{answer:?}");
}
