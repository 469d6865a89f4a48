//! The program ends under load, in order and by a power cut: what its producers were told holds.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    cli::{Place, until},
    redis::{Server, free_port},
};

/// Producers at once, each with one request on its way.
const PRODUCERS: usize = 8;

/// No producer asks for longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests that a producer made for one event, the last of which was answered 200.
type Tries = HashMap<String, usize>;

/// What the producers and the test tell each other.
#[derive(Default)]
struct Load {
    accepted: AtomicUsize,
    /// No new event is begun; those that were begun are brought to their 200.
    enough: AtomicBool,
}

/// One producer's connection, kept alive.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a timeout");
        Some(Self { stream: BufReader::new(stream) })
    }

    /// The status of a `POST`; `None` where the connection ended before the answer did.
    fn post(&mut self, id: &str) -> Option<u16> {
        let body = format!(r#"{{"message_type":"domain_event","message_name":"Paid","message_id":"{id}","payload":{{}}}}"#);
        let request = format!("POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.stream.get_mut().write_all(request.as_bytes()).ok()?;
        let status = self.line()?.get(9..12)?.parse().ok()?;
        let mut length = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some(written) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = written.trim().parse().ok()?;
            }
        }
        self.stream.read_exact(&mut vec![0; length]).ok()?;
        Some(status)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }
}

/// Posts event after event, each until it is answered 200.
fn produce(name: usize, port: u16, load: &Load) -> Tries {
    let (mut client, mut tries, end) = (None, Tries::new(), Instant::now() + PATIENCE);
    for number in 0.. {
        if load.enough.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{name}-{number:06}");
        let mut requests = 0;
        loop {
            assert!(Instant::now() < end, "{id} is never accepted");
            let Some(mut connected) = client.take().or_else(|| Client::connect(port)) else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            requests += 1;
            match connected.post(&id) {
                Some(200) => {
                    client = Some(connected);
                    break;
                }
                Some(503) | None => {}
                Some(other) => panic!("{id}: {other}"),
            }
        }
        tries.insert(id, requests);
        load.accepted.fetch_add(1, Ordering::Relaxed);
    }
    tries
}

/// How often each event is in the stream.
fn delivered(server: &Server) -> HashMap<String, usize> {
    let entries: Vec<(String, BTreeMap<String, String>)> = server.run(&["XRANGE", "out", "-", "+"]);
    let mut times = HashMap::new();
    for (_, fields) in entries {
        *times.entry(fields["message_id"].clone()).or_default() += 1;
    }
    times
}

/// Ends the bridge with `signal` while the producers ask, three times, and compares what they were told with what is in the stream.
fn what_was_accepted_is_there(signal: &str) {
    let (server, port) = (Server::start(&[]), free_port());
    let place = Place::with(&format!(
        r#"
telemetry: off
brokers:
  web: {{ http_server: {{ listen: "127.0.0.1:{port}" }} }}
  live: {}
routes:
  - {{ from: web/events, to: {{ broker: live, stream: out }} }}
"#,
        server.url()
    ));
    let load = Load::default();
    let mut bridge = place.start(&["run"]);
    let tries = thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|name| {
                scope.spawn({
                    let load = &load;
                    move || produce(name, port, load)
                })
            })
            .collect();
        for _ in 0..3 {
            let before = load.accepted.load(Ordering::Relaxed);
            until("the bridge is under load", || (load.accepted.load(Ordering::Relaxed) > before + 300).then_some(()));
            if signal == "TERM" {
                assert_eq!(bridge.stop(), 0, "{}", bridge.err());
            } else {
                bridge.kill();
            }
            bridge = place.start(&["run"]);
        }
        let before = load.accepted.load(Ordering::Relaxed);
        until("they go on", || (load.accepted.load(Ordering::Relaxed) > before + PRODUCERS).then_some(()));
        load.enough.store(true, Ordering::Relaxed);
        producers.into_iter().flat_map(|producer| producer.join().expect("a producer")).collect::<Tries>()
    });
    let delivered = delivered(&server);
    let lost: Vec<_> = tries.keys().filter(|id| !delivered.contains_key(*id)).collect();
    assert!(lost.is_empty(), "answered 200 and not delivered: {lost:?}");
    let often: Vec<_> = tries.iter().filter(|(id, requests)| delivered[*id] > **requests).collect();
    assert!(often.is_empty(), "delivered more often than sent: {often:?}");
    if signal == "TERM" {
        let again: Vec<_> = tries.iter().filter(|(id, _)| delivered[*id] > 1).collect();
        assert!(again.is_empty(), "an orderly end with a healthy broker repeats nothing: {again:?}");
    }
    assert_eq!(delivered.len(), tries.len(), "every event was brought to its 200");
    assert!(tries.values().any(|requests| *requests > 1), "no request was cut: the bridge did not end under load");
    assert_eq!(bridge.stop(), 0, "{}", bridge.err());
}

#[test]
fn a_bridge_that_is_told_to_stop_keeps_what_it_said() {
    what_was_accepted_is_there("TERM");
}

#[test]
fn a_bridge_that_is_killed_keeps_what_it_said() {
    what_was_accepted_is_there("KILL");
}
