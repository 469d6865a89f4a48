//! `process_*`, as Prometheus client libraries name them, read from `/proc` at each scrape (proc(5)).

use std::{
    fmt, fs,
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// Clock ticks a second in `/proc`: `USER_HZ`, 100 on every architecture that Linux shows to programs (time(7)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the process's figures; where there is no `/proc` they are absent, never 0.
pub(super) fn register(to: &mut Registry) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    to.register_collector(Box::new(Process { first_seen: now }));
}

#[derive(Debug)]
struct Process {
    /// When the registry was made, in seconds since the Unix epoch: the start, where `/proc` does not tell.
    first_seen: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some(cpu) = cpu_seconds() {
            let help = "Processor time spent, user and system";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(cpu).encode(metric)?;
        }
        let figures = [
            ("process_resident_memory_bytes", "Memory in use", status_bytes("VmRSS:")),
            ("process_virtual_memory_bytes", "Address space in use", status_bytes("VmSize:")),
            ("process_open_fds", "Open file descriptors", open_fds()),
            ("process_max_fds", "Most open file descriptors", fds_max()),
            ("process_start_time_seconds", "Start, in seconds since the Unix epoch", Some(start().unwrap_or(self.first_seen))),
        ];
        for (name, help, value) in figures {
            if let Some(value) = value {
                let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }
}

/// Field `number` (from 1, as in proc(5)) of `/proc/self/stat`; the name in field 2 may hold blanks, so counting starts behind it.
fn stat_field(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let behind_name = &stat[stat.rfind(')')? + 1..];
    behind_name.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds() -> Option<f64> {
    Some((stat_field(14)? + stat_field(15)?) / TICKS_PER_SECOND)
}

fn start() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let booted: f64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(booted + stat_field(22)? / TICKS_PER_SECOND)
}

fn status_bytes(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes: f64 = status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_fds() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

/// The soft limit; absent where it is `unlimited`.
fn fds_max() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}
