//! `rialto init`: a first file, commented, to begin with.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::{Console, Ended, Exit, Failure};
use crate::config;

/// Write a first configuration
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What it is for
    #[arg(value_enum, default_value_t = Preset::Dev)]
    preset: Preset,

    /// Where to write it
    #[arg(short, long, value_name = "FILE", default_value = config::USUAL[0])]
    output: PathBuf,

    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// A file of `config/`, compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// What a bare `rialto` runs: HTTP in, live clients out
    Dev,
    /// A queue of RabbitMQ to channels of Redis
    RabbitmqToRedis,
    /// Topics of Kafka to channels of Redis
    KafkaToRedis,
    /// A subscription of Azure Service Bus to a topic of Kafka
    ServiceBusToKafka,
    /// Events by HTTP to a webhook
    HttpToWebhook,
}

impl Preset {
    fn text(self) -> &'static str {
        match self {
            Self::Dev => include_str!("../../config/rialto.yaml"),
            Self::RabbitmqToRedis => include_str!("../../config/presets/rabbitmq-to-redis.yaml"),
            Self::KafkaToRedis => include_str!("../../config/presets/kafka-to-redis.yaml"),
            Self::ServiceBusToKafka => include_str!("../../config/presets/service-bus-to-kafka.yaml"),
            Self::HttpToWebhook => include_str!("../../config/presets/http-to-webhook.yaml"),
        }
    }
}

pub(super) fn run(args: &Args) -> Ended {
    write(&args.output, args.preset.text(), args.force)?;
    let name = args.output.display();
    let run = if args.output == Path::new(config::USUAL[0]) { "rialto run".to_owned() } else { format!("rialto run -c {name}") };
    Console::tell(&format!("{name} is written. `rialto explain` says what it does, `{run}` does it."))?;
    Ok(Exit::Success)
}

/// Writes all or nothing, and over nothing unless it is `force`d.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::say(Exit::Io, format!("{} is there already; `--force` writes over it", path.display()))
        }
        _ => Failure::new(Exit::Io, anyhow::Error::new(error).context(path.display().to_string())),
    };
    if !force {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        return file.write_all(text.as_bytes()).map_err(failed);
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    fs::write(&beside, text).and_then(|()| fs::rename(&beside, path)).map_err(failed)
}
