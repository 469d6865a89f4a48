//! The settings of a broker: `brokers: { live: redis://… }` and its long form.

use schemars::JsonSchema;

use super::servers::{Form, Place, Servers};
use crate::{
    broker::{
        plain,
        tls::{self, Tls},
    },
    written::{FromNode, Node, Problems, Secret, Urls},
};

/// A broker's settings, checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    urls: Option<Urls>,
    /// The name of the sentinels' master, where the long form says that the URLs are sentinels.
    master: Option<String>,
    login: Login,
    sentinel_login: Login,
    db: Option<u32>,
    resp3: Option<bool>,
    cluster: bool,
    /// Set where a `tls` block is written; its absence leaves the choice to the URL's scheme.
    pub(super) tls: Option<Tls>,
}

/// Who we are.
#[derive(Debug, Clone, Default)]
pub(super) struct Login {
    /// ACL user; absent: `default`.
    pub(super) username: Option<String>,
    /// Its password, or the file that holds it.
    pub(super) password: Option<Secret>,
}

/// Everything an opening needs, with `url_file` read.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// Where.
    pub(super) servers: Servers,
    /// Who, towards Redis.
    pub(super) login: Login,
    /// Who, towards the sentinels.
    pub(super) sentinel_login: Login,
}

impl Settings {
    /// Reads the short form (text) or the long form (a map).
    pub(super) fn read(node: &Node, faults: &mut Problems) -> Option<Self> {
        let mut settings = if node.is_map() { Self::read_map(node, faults) } else { Self::default() };
        if !node.is_map() {
            settings.urls = Urls::from_node(node, faults);
        }
        settings.urls.as_ref()?;
        match (&settings.urls, settings.servers()) {
            (_, Ok(servers)) => settings.check(&servers, node, faults),
            (Some(Urls::Inline(_)), Err(sentence)) => {
                faults.fault(node.at(), sentence);
                return None;
            }
            // A file's content may be mended until it is read to dial.
            (_, Err(_)) => {}
        }
        Some(settings)
    }

    fn read_map(node: &Node, faults: &mut Problems) -> Self {
        let sentinel = node.child("sentinel");
        let mut written: Vec<Urls> = ["url", "urls"].into_iter().filter_map(|key| node.urls(key, faults)).collect();
        written.extend(sentinel.and_then(|sentinel| sentinel.urls("urls", faults)));
        if written.len() > 1 {
            faults.fault(node.at(), "`url`, `urls` and `sentinel` exclude each other");
        } else if written.is_empty() && !["url", "urls", "url_file", "urls_file"].iter().any(|key| node.peek(key).is_some()) {
            faults.fault(node.at(), format!("`{}` needs `url`, `urls` or `sentinel` with its `urls`", node.path()));
        }
        let settings = Self {
            urls: written.pop(),
            master: sentinel.and_then(|sentinel| sentinel.need("master", faults)),
            login: read_login(node, faults),
            sentinel_login: sentinel.map(|sentinel| read_login(sentinel, faults)).unwrap_or_default(),
            db: node.opt("db", faults),
            resp3: node.choice("protocol", &[("2", false), ("3", true)], faults),
            cluster: node.get("cluster", false, faults),
            tls: node.child("tls").map(|tls| Tls::read(tls, faults)),
        };
        if let Some(sentinel) = sentinel {
            sentinel.finish(faults);
        }
        node.finish(faults);
        settings
    }

    fn check(&self, servers: &Servers, node: &Node, faults: &mut Problems) {
        let own = self.login.username.is_some() || self.login.password.is_some();
        if own && (servers.username.is_some() || servers.password.is_some()) {
            faults.fault(node.at(), "credentials stand both in the URL and beside it");
        }
        let keys = ["url", "urls", "url_file", "urls_file", "sentinel"];
        let at = keys.iter().find_map(|key| node.peek(key)).unwrap_or(node).at();
        for place in servers.places.iter().filter(|_| !servers.tls) {
            if let Place::Tcp(host, _) = place {
                plain::warn("messages and the password", host, "use rediss://", at, faults);
            }
        }
    }

    /// True where the URL or `cluster` says that keys live on many servers.
    pub(super) fn is_cluster(&self) -> bool {
        self.cluster
            || matches!(self.urls, Some(Urls::Inline(_))) && self.servers().is_ok_and(|servers| servers.form == Form::Cluster)
    }

    /// The URL without credentials.
    pub(super) fn display(&self) -> String {
        match &self.urls {
            Some(Urls::Inline(_)) => self.servers().map(|servers| servers.to_string()).unwrap_or_default(),
            Some(file @ Urls::File(_)) => format!("redis {file}"),
            None => String::new(),
        }
    }

    /// What to open now: a file of URLs is read anew. The error is a sentence.
    pub(super) fn access(&self) -> Result<Access, String> {
        let servers = self.servers()?;
        let login = Login {
            username: self.login.username.clone().or_else(|| servers.username.clone()),
            password: self.login.password.clone().or_else(|| servers.password.clone()),
        };
        Ok(Access { servers, login, sentinel_login: self.sentinel_login.clone() })
    }

    /// All URLs as one: the credentials and the database of the first hold for all.
    fn servers(&self) -> Result<Servers, String> {
        let urls = self.urls.as_ref().ok_or("no URL is written")?.reveal().map_err(|error| error.to_string())?;
        let mut parsed = Vec::with_capacity(urls.len());
        for url in &urls {
            parsed.push(Servers::parse(url)?);
        }
        let mut rest = parsed.into_iter();
        let mut servers = rest.next().ok_or("no URL is listed")?;
        for other in rest {
            if other.tls != servers.tls || other.form != servers.form {
                return Err("the URLs of one broker share one scheme".into());
            }
            servers.places.extend(other.places);
        }
        servers.db = self.db.unwrap_or(servers.db);
        servers.resp3 = self.resp3.unwrap_or(servers.resp3);
        servers.tls |= self.tls.is_some();
        match (&self.master, self.cluster) {
            (Some(_), true) => return Err("a cluster has no sentinels: `cluster` and `sentinel` exclude each other".into()),
            (Some(master), false) => servers.form = Form::Sentinel { master: master.clone() },
            (None, true) if matches!(servers.form, Form::Sentinel { .. }) => return Err("a cluster has no sentinels".into()),
            (None, true) => servers.form = Form::Cluster,
            (None, false) => {}
        }
        if servers.form == Form::Cluster && servers.db != 0 {
            return Err("a cluster has no database but 0".into());
        }
        Ok(servers)
    }
}

fn read_login(node: &Node, faults: &mut Problems) -> Login {
    Login { username: node.opt("username", faults), password: node.secret("password", faults) }
}

/// The long form, for editors.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
pub(super) struct Written {
    /// `redis://[user[:password]@]host[:port][,…][/db]`; also `rediss`, `redis+unix`, `redis-sentinel` and `redis-cluster`.
    url: Option<String>,
    /// Several of them: the first that answers as a master, or with `cluster` any nodes of one.
    urls: Option<Vec<String>>,
    /// A file that holds the URL; read anew at each opening.
    url_file: Option<String>,
    /// A file that holds them, one a line; read anew at each opening.
    urls_file: Option<String>,
    /// ACL user.
    username: Option<String>,
    /// Its password.
    password: Option<String>,
    /// A file that holds the password; read anew at each opening.
    password_file: Option<String>,
    /// Database number.
    db: Option<u32>,
    /// RESP version: 2 (default) or 3.
    protocol: Option<u32>,
    /// Keys live on many servers.
    cluster: Option<bool>,
    /// The master is named by sentinels.
    sentinel: Option<WrittenSentinel>,
    /// Certificates; on by the scheme `rediss`.
    tls: Option<tls::Written>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is read")]
struct WrittenSentinel {
    /// The name under which the sentinels know the master.
    master: String,
    /// `redis://host:26379`, one for each sentinel.
    urls: Option<Vec<String>>,
    /// A file that holds them, one a line; read anew at each opening.
    urls_file: Option<String>,
    /// ACL user towards the sentinels.
    username: Option<String>,
    /// Its password.
    password: Option<String>,
    /// A file that holds the password.
    password_file: Option<String>,
}
