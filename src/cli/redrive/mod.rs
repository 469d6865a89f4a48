//! `rialto redrive`: sends dead letters where they were to go.
//!
//! A letter is acknowledged only after its destination has it. One that cannot be sent stays where it is: it is held, not put back,
//! until the end, so that no letter is met twice in one run.

mod courier;
mod desk;
mod record;

use std::{
    io::{self, BufRead, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::{
    courier::{Broken, Courier},
    desk::{Desk, Parcel},
    record::{Filter, Record},
};
use super::{
    Console, Ended, Exit, Failure, Settings, house, runtime,
    tap::{argument, sentences},
};
use crate::{
    broker::{House, Origin},
    config::plan::Plan,
    envelope::RawMessage,
    intake::{Arrival, Door, Ticket},
    outcome::Verdict,
    telemetry::SourceMetrics,
    written::{Node, Problems, Value},
};

/// Letters held at once, and their bytes: as far as a run sees past letters that stay.
const WINDOW: (usize, u64) = (10_000, 256 << 20);

/// A queue is at its end when nothing came for this long.
const QUIET: Duration = Duration::from_secs(2);

/// The first letter may take longer.
const FIRST: Duration = Duration::from_secs(5);

/// Before letters that stay are let go: by then what was settled behind them is told upstream (250 ms, `intake`), and would come
/// again otherwise.
const SETTLE: Duration = Duration::from_millis(600);

/// For the source to tell what was settled and to close.
const CLOSE: Duration = Duration::from_secs(10);

/// The progress on standard error; nothing where that is no terminal.
const PROGRESS: &str = "{spinner} {pos} letters in {elapsed} {msg}";

/// Letters that stay and are told one by one; the rest is counted.
const TOLD_MAX: u64 = 20;

/// Send dead letters where they were to go
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the dead letters are
    #[arg(long, value_name = "SOURCE|BROKER/ADDRESS")]
    from: String,

    /// Only letters whose record matches: route, destination, address, source or reason; repeatable, all must match
    #[arg(long = "filter", value_name = "KEY=GLOB")]
    filters: Vec<Filter>,

    /// At most so many a second: `100/s`
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,

    /// Stop after so many letters were sent
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Say what would be sent where, send nothing and leave every letter (a quorum queue counts this as one delivery of each)
    #[arg(long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

fn rate(written: &str) -> Result<f64, String> {
    let number = written.strip_suffix("/s").unwrap_or(written);
    number.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0).ok_or_else(|| "a rate is like 100/s".to_owned())
}

pub(super) fn run(args: Args, settings: &Settings, console: Console) -> Ended {
    let plan = settings.plan()?;
    let origin = origin(&plan, &args.from)?;
    if !args.dry_run && !args.yes {
        confirm(&origin.display())?;
    }
    let house = house(&plan, "redrive");
    let run = Run {
        desk: Desk::new(plan),
        courier: Courier::new(house.clone()),
        kept: Vec::new(),
        count: Count::default(),
        next: Instant::now(),
        args,
        console,
        progress: progress()?,
    };
    runtime()?.block_on(run.all(origin, &house))
}

fn progress() -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template(PROGRESS).map_err(|error| Failure::new(Exit::Panic, error))?;
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

/// The source of this name, or the queue or stream of this `broker/address`.
fn origin(plan: &Plan, from: &str) -> Result<Arc<dyn Origin>, Failure> {
    if let Some(pipeline) = plan.pipelines.iter().find(|pipeline| *pipeline.source == *from) {
        return Ok(pipeline.origin.clone());
    }
    let known = from.split_once('/').and_then(|(broker, address)| Some((plan.brokers.get(broker)?, address)));
    let Some((broker, address)) = known else {
        return Err(Failure::say(Exit::Usage, format!("`{from}` is neither a source nor broker/address of a known broker")));
    };
    let read = |value: Value| {
        let mut faults = Problems::default();
        let origin = broker.origin(&Node::new("--from", argument(from), value), &mut faults);
        origin.filter(|_| faults.is_ok()).ok_or_else(|| sentences(&faults))
    };
    let short = read(Value::Str(address.to_owned()));
    if let Ok(origin) = short.as_ref()
        && origin.holds()
    {
        return Ok(origin.clone());
    }
    // Where the short form names a channel, which keeps nothing, dead letters are in a stream of that name.
    let leaf = |text: String| (argument(from), Node::new("--from", argument(from), Value::Str(text)));
    let group = format!("{}-redrive", plan.name);
    let stream = [("stream".to_owned(), leaf(address.to_owned())), ("group".to_owned(), leaf(group))];
    match (read(Value::Map(stream.into_iter().collect())), short) {
        (Ok(origin), _) => Ok(origin),
        (Err(_), Ok(_)) => Err(Failure::say(Exit::Usage, format!("`{from}` keeps no messages: there are no dead letters in it"))),
        (Err(_), Err(why)) => Err(Failure::say(Exit::Usage, format!("`{from}`: {why}"))),
    }
}

/// Asks, or says that nobody can be asked.
fn confirm(from: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::say(Exit::Usage, "nobody to ask: say --yes, or --dry-run to see what would be sent"));
    }
    write!(io::stderr(), "Send the dead letters of {from} where they were to go? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::say(Exit::Failed, "nothing was sent")),
    }
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
struct Count {
    /// Sent and confirmed; in a dry run, what would be.
    redriven: u64,
    /// Left because a filter does not match.
    filtered: u64,
    /// Left because they could not be sent.
    kept: u64,
}

struct Run {
    args: Args,
    console: Console,
    progress: ProgressBar,
    desk: Desk,
    courier: Courier,
    /// Batches with letters that stay: held to the end.
    kept: Vec<Ticket>,
    count: Count,
    /// When `rate` lets the next letter go.
    next: Instant,
}

impl Run {
    async fn all(mut self, origin: Arc<dyn Origin>, house: &House) -> Ended {
        let (door, mut arrivals) = Door::new(WINDOW.0, WINDOW.1, true, SourceMetrics::default());
        let (intake, closer) = door.intake();
        let source = origin.open(house).await.map_err(|error| Failure::broker(error.reason, &error))?;
        let mut reading = tokio::spawn(source.run(intake));
        let mut patience = FIRST;
        let result = loop {
            let arrival = tokio::select! {
                arrival = arrivals.recv() => arrival,
                ended = &mut reading => break Err(lost(&ended)),
                () = sleep(patience) => None,
                Ok(()) = tokio::signal::ctrl_c() => None,
            };
            patience = QUIET;
            let Some(arrival) = arrival else { break Ok(()) };
            match self.take(arrival).await {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(failure) => break Err(failure),
            }
        };
        let full = door.held() >= WINDOW.0;
        closer.close();
        drop(arrivals);
        if !reading.is_finished() {
            sleep(SETTLE).await;
            self.kept.clear();
            if timeout(CLOSE, &mut reading).await.is_err() {
                reading.abort();
                Console::tell("the source did not close in 10 s; letters that were sent may come again")?;
            }
        }
        self.report(full, result).await
    }

    async fn report(self, full: bool, result: Result<(), Failure>) -> Ended {
        self.progress.finish_and_clear();
        self.courier.close().await;
        let Count { redriven, filtered, kept } = self.count;
        if self.console.json {
            Console::line(&self.count)?;
        } else {
            let verb = if self.args.dry_run { "would be sent" } else { "sent" };
            Console::text(&format!("{redriven} {verb}, {kept} kept, {filtered} left by filters"))?;
        }
        if full {
            Console::tell("the window is full of letters that stay; there may be more behind them")?;
        }
        result?;
        Ok(if kept > 0 { Exit::Failed } else { Exit::Success })
    }

    /// Handles one batch of letters; false when the limit is reached.
    async fn take(&mut self, Arrival { batch, ticket }: Arrival) -> Result<bool, Failure> {
        let mut settled = 0;
        let result = self.sort(&batch, &ticket, &mut settled).await;
        if settled < batch.len() {
            self.kept.push(ticket);
        }
        result?;
        Ok(self.args.limit.is_none_or(|limit| self.count.redriven < limit))
    }

    /// Sends each letter, or leaves it; counts in `settled` those that may be acknowledged.
    async fn sort(&mut self, batch: &[RawMessage], ticket: &Ticket, settled: &mut usize) -> Result<(), Failure> {
        let mut waiting: Vec<(u32, Parcel)> = Vec::new();
        for (index, letter) in (0..).zip(batch) {
            let sent = self.count.redriven + waiting.len() as u64;
            if self.args.limit.is_some_and(|limit| sent >= limit) {
                break;
            }
            let Some(record) = Record::read(letter.carrier.as_ref()) else {
                self.keep("a letter", "it does not say where it was to go")?;
                continue;
            };
            if !self.args.filters.iter().all(|filter| filter.matches(&record)) {
                self.count.filtered += 1;
                continue;
            }
            match self.desk.address(letter, record) {
                Ok(parcel) => {
                    if waiting.last().is_some_and(|(_, last)| !together(last, &parcel, waiting.len())) {
                        *settled += self.send(&mut waiting, ticket).await?;
                    }
                    waiting.push((index, parcel));
                }
                Err(why) => self.keep("a letter", &why)?,
            }
            if self.args.rate.is_some() {
                *settled += self.send(&mut waiting, ticket).await?;
            }
        }
        *settled += self.send(&mut waiting, ticket).await?;
        Ok(())
    }

    /// Sends what waits, and settles what was delivered: so many.
    async fn send(&mut self, waiting: &mut Vec<(u32, Parcel)>, ticket: &Ticket) -> Result<usize, Failure> {
        let (indices, parcels): (Vec<u32>, Vec<Parcel>) = waiting.drain(..).unzip();
        if parcels.is_empty() {
            return Ok(0);
        }
        if self.args.dry_run {
            parcels.iter().try_for_each(|parcel| self.done(parcel))?;
            return Ok(0);
        }
        if let Some(rate) = self.args.rate {
            sleep_until(self.next).await;
            self.next = Instant::now() + Duration::from_secs_f64(parcels.len() as f64 / rate);
        }
        let answers = self.courier.send(&parcels).await.map_err(|broken| broken.into_failure(&parcels))?;
        let mut settled = 0;
        for ((index, parcel), answer) in indices.into_iter().zip(&parcels).zip(answers) {
            match answer {
                None => {
                    ticket.settle(index, Verdict::Accepted);
                    settled += 1;
                    self.done(parcel)?;
                }
                Some(why) => self.keep(parcel.message.id(), &why)?,
            }
        }
        Ok(settled)
    }

    fn done(&mut self, parcel: &Parcel) -> Result<(), Failure> {
        self.count.redriven += 1;
        self.progress.inc(1);
        if self.console.json {
            let Record { route, destination, address, reason, .. } = &parcel.record;
            let told = serde_json::json!({
                "id": parcel.message.id(), "route": route, "destination": destination, "address": address, "reason": reason,
            });
            self.progress.suspend(|| Console::line(&told))?;
        } else if self.args.dry_run {
            let Record { route, destination, address, reason, .. } = &parcel.record;
            let id = parcel.message.id();
            let line = format!("{id} {route} -> {destination} {} ({reason})", address.escape_debug());
            self.progress.suspend(|| Console::text(&line))?;
        }
        Ok(())
    }

    fn keep(&mut self, what: &str, why: &str) -> Result<(), Failure> {
        self.count.kept += 1;
        self.progress.inc(1);
        self.progress.set_message(format!("({} stay)", self.count.kept));
        let told = match self.count.kept {
            n if n <= TOLD_MAX => format!("{what} stays: {}", why.escape_debug()),
            n if n == TOLD_MAX + 1 => "more letters stay; they are counted".to_owned(),
            _ => return Ok(()),
        };
        Ok(self.progress.suspend(|| Console::tell(&told))?)
    }
}

/// True where the second may go in one batch behind the first.
fn together(last: &Parcel, next: &Parcel, waiting: usize) -> bool {
    last.lane.target.link == next.lane.target.link && waiting < last.lane.target.in_flight.batch_messages
}

type Reading = Result<Result<crate::broker::Ended, crate::broker::SourceError>, tokio::task::JoinError>;

fn lost(ended: &Reading) -> Failure {
    match ended {
        Ok(Ok(_)) => Failure::say(Exit::Unavailable, "the source of the dead letters ended"),
        Ok(Err(error)) => Failure::broker(error.reason, format!("the source of the dead letters was lost: {error}")),
        Err(error) => Failure::say(Exit::Panic, format!("the source of the dead letters: {error}")),
    }
}

impl Broken {
    fn into_failure(self, parcels: &[Parcel]) -> Failure {
        let text = format!("{self}; {} letters may have arrived and stay", parcels.len());
        match self {
            Self::Open(error) => Failure::broker(error.reason, error),
            Self::Down(down) => Failure::broker(down.reason, text),
            Self::Late(_) => Failure::say(Exit::Unavailable, text),
        }
    }
}
