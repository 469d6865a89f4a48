//! One life of a pipeline: its tasks, and the order in which they stop.

use std::{sync::Arc, time::Instant};

use tokio::{sync::watch as signal, task::JoinSet};

use super::{Order, PipelineSpec, admit, source, watch};
use crate::{
    deliver::{Board, Graves, LinkWorker},
    intake::Door,
    journal::{Journal, transit::Transit},
    telemetry::Beat,
};

/// A task of the pipeline panicked; its name.
#[derive(Debug)]
pub(super) struct Panicked(pub(super) &'static str);

/// Runs until ordered to stop; then stages stop in the order of the flow: the source, the router, the links.
pub(super) async fn live(spec: PipelineSpec, beat: &Beat, orders: signal::Receiver<Order>) -> Result<(), Panicked> {
    let lanes = spec.lanes();
    let journal = spec.journal();
    let board = Arc::new(Board::new(lanes.len(), Instant::now()));
    let (door, arrivals) = Door::new(spec.window, spec.window_bytes, spec.origin.holds(), spec.metrics.clone());
    let (stop_links, stopping) = signal::channel(false);

    // Dropping the set ends every task in it, whichever way this function is left.
    let mut tasks = JoinSet::new();
    let mut links = JoinSet::new();
    let graves: Graves = {
        let router = spec.router.clone();
        Arc::new(move |lane, message| router.bury(lane, message))
    };
    for link in spec.links.iter().cloned() {
        let ids: Vec<_> = link.lanes.iter().map(|(lane, _)| lane.id).collect();
        let worker = LinkWorker::new(link, journal.backlog(&ids), spec.house.clone(), Arc::clone(&graves), Arc::clone(&board));
        links.spawn(worker.run(stopping.clone()));
    }
    let route_names = admit::Log::new(Arc::clone(&spec.source), spec.house.reports.clone());
    tasks.spawn(admit::run(arrivals, spec.router.clone(), journal.clone(), route_names));

    let supervisor = source::Supervisor::new(&spec, door.clone(), Arc::clone(&board), orders.clone());
    let watcher = watch::run(&spec.metrics, &door, &journal, &lanes, &board, beat);
    tokio::select! {
        () = supervisor.run() => {}
        () = watcher => {}
        Some(_) = tasks.join_next() => return Err(Panicked("router")),
        Some(_) = links.join_next() => return Err(Panicked("link")),
    }

    // The source has stopped, and what it offered is settled or given up. Optional destinations hold nobody back, but a stop
    // with healthy brokers loses nothing of theirs either.
    flush(&journal, orders, beat).await;
    stop_links.send_replace(true);
    while let Some(ended) = links.join_next().await {
        if ended.is_err() {
            return Err(Panicked("link"));
        }
    }
    Ok(())
}

/// Waits until nothing is pending, or until the order to stop at once.
async fn flush(journal: &Transit, mut orders: signal::Receiver<Order>, beat: &Beat) {
    let pause = std::time::Duration::from_millis(10);
    while journal.pending() > 0 && *orders.borrow_and_update() != Order::Stop {
        beat.beat(Instant::now());
        let _ = tokio::time::timeout(pause, orders.changed()).await;
    }
}
