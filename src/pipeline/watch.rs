//! Never alive but dead: the pipeline's sign of life, and the lanes that should move and do not (guarantees, G15).

use std::time::{Duration, Instant};

use super::LaneView;
use crate::{
    deliver::Board,
    intake::Door,
    journal::{Journal as _, transit::Transit},
    telemetry::{Beat, SourceMetrics, SourceState},
};

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A lane with backlog, a healthy destination and no end of an entry for this long is stalled. Every try is answered or given up
/// within its `timeout` (15 s), so that silence beyond three of them is no slowness; G15 allows 60 s.
const STALLED_AFTER: Duration = Duration::from_secs(45);

/// Watches for ever.
pub(super) async fn run(source: &SourceMetrics, door: &Door, journal: &Transit, lanes: &[LaneView], board: &Board, beat: &Beat) {
    // No lanes: this reader only counts.
    let counts = journal.backlog(&[]);
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let now = Instant::now();
        beat.beat(now);
        for lane in lanes {
            let waiting = counts.pending(lane.id) as u64;
            let moves = waiting <= board.parked(lane.id) || board.paused(lane.id);
            if moves && waiting == 0 {
                board.progressed(lane.id, now);
            }
            lane.metrics.stalled(!moves && u128::from(board.idle_ms(lane.id, now)) > STALLED_AFTER.as_millis());
        }
        match (door.blocked(), source.current()) {
            (true, SourceState::Running) => source.state(SourceState::Blocked),
            (false, SourceState::Blocked) => source.state(SourceState::Running),
            _ => {}
        }
    }
}
