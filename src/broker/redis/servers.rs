//! Where the servers are: the URL forms that people write.
//!
//! ```text
//! redis://[user[:password]@]host[:port][,host[:port]…][/db]             one server, or several of which one is the master
//! redis+unix:///path/to.sock[?db=1]                                     a socket file
//! redis-sentinel://[user[:password]@]host[:26379][,…]/master[/db]       the master that the sentinels name (also `#master`)
//! redis-cluster://[user[:password]@]host[:port][,…]                     a cluster, by any of its nodes
//! ```
//!
//! With TLS: `rediss`, `rediss-sentinel`, `rediss-cluster`. `valkey` and `valkeys` are the same as `redis` and `rediss`, and a `+`
//! the same as the `-`. `?protocol=3` speaks RESP3, `?cluster=true` makes a cluster of `redis://`.

use std::{fmt, path::PathBuf};

use percent_encoding::percent_decode_str;

use crate::written::Secret;

/// The schemes of the forms above.
pub(super) static SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis+unix",
    "valkey+unix",
    "redis-sentinel",
    "rediss-sentinel",
    "redis+sentinel",
    "rediss+sentinel",
    "redis-cluster",
    "rediss-cluster",
    "redis+cluster",
    "rediss+cluster",
];

const PORT: u16 = 6379;
const PORT_SENTINEL: u16 = 26379;

/// What a URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Servers {
    /// How the places below lead to the master of a key.
    pub(super) form: Form,
    /// At least one, in the order written.
    pub(super) places: Vec<Place>,
    /// Over TLS.
    pub(super) tls: bool,
    /// ACL user; absent: `default`.
    pub(super) username: Option<String>,
    /// Its password.
    pub(super) password: Option<Secret>,
    /// Database number; 0 on a cluster.
    pub(super) db: u32,
    /// Speaks RESP3.
    pub(super) resp3: bool,
}

/// How many servers there are, and which of them is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// The first of the places that answers as a master.
    Direct,
    /// The places are sentinels, which name the master.
    Sentinel {
        /// The name under which the sentinels know it.
        master: String,
    },
    /// The places are nodes, which name all nodes.
    Cluster,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Host (a name, or an address without brackets) and port.
    Tcp(String, u16),
    /// A socket file.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Display for Servers {
    /// As a URL, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { "s" } else { "" };
        let (form, master) = match &self.form {
            Form::Direct if matches!(self.places[..], [Place::Unix(_), ..]) => ("+unix", ""),
            Form::Direct => ("", ""),
            Form::Sentinel { master } => ("-sentinel", master.as_str()),
            Form::Cluster => ("-cluster", ""),
        };
        write!(f, "redis{tls}{form}://")?;
        for (nth, place) in self.places.iter().enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            write!(f, "{comma}{place}")?;
        }
        if !master.is_empty() {
            write!(f, "/{master}")?;
        }
        if self.db > 0 {
            write!(f, "/{}", self.db)?;
        }
        Ok(())
    }
}

impl Servers {
    /// Reads a URL. The error is a sentence without the URL's credentials.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("a Redis URL starts with `redis://`")?;
        let scheme = scheme.to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            return Err(format!("`{scheme}://` is no Redis URL: `redis://`, `rediss://`, `redis-sentinel://`, `redis-cluster://`"));
        }
        let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (system, form) = scheme.split_once(['-', '+']).unwrap_or((&scheme, ""));
        let mut servers = Self {
            form: Form::Direct,
            places: Vec::new(),
            tls: system.ends_with('s') && system != "redis",
            username: None,
            password: None,
            db: 0,
            resp3: false,
        };
        if form == "unix" {
            servers.places.push(Place::Unix(PathBuf::from(decode(rest)?)));
            servers.read_query(query)?;
            return Ok(servers);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts = servers.read_login(authority)?;
        let port = if form == "sentinel" { PORT_SENTINEL } else { PORT };
        servers.places = hosts.split(',').map(|host| place(host, port)).collect::<Result<_, _>>()?;
        servers.read_path(form, path, fragment)?;
        servers.read_query(query)?;
        if servers.form == Form::Cluster && servers.db != 0 {
            return Err("a cluster has no database but 0".into());
        }
        Ok(servers)
    }

    /// Takes what stands before the last `@`, and answers the hosts.
    fn read_login<'a>(&mut self, authority: &'a str) -> Result<&'a str, String> {
        let Some((login, hosts)) = authority.rsplit_once('@') else { return Ok(authority) };
        let (username, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
        if !username.is_empty() {
            self.username = Some(decode(username)?);
        }
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            self.password = Some(Secret::Inline(decode(password)?));
        }
        Ok(hosts)
    }

    /// `/db`, or with sentinels `/master/db`, `/master`, `/db#master`.
    fn read_path(&mut self, form: &str, path: &str, fragment: &str) -> Result<(), String> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        match form {
            "sentinel" => {
                let master = if fragment.is_empty() { parts.next().unwrap_or_default() } else { fragment };
                if master.is_empty() {
                    return Err("a sentinel URL names its master: `redis-sentinel://host:26379/mymaster`".into());
                }
                self.form = Form::Sentinel { master: decode(master)? };
            }
            "cluster" => self.form = Form::Cluster,
            _ => {}
        }
        if let Some(db) = parts.next() {
            self.db = number(db)?;
        }
        match parts.next() {
            Some(more) => Err(format!("`/{more}` is too much after the database number")),
            None => Ok(()),
        }
    }

    fn read_query(&mut self, query: &str) -> Result<(), String> {
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("db", db) => self.db = number(db)?,
                ("protocol", "3" | "resp3") => self.resp3 = true,
                ("protocol", "2" | "resp2") => self.resp3 = false,
                ("cluster", "true") => self.form = Form::Cluster,
                ("cluster", "false") => {}
                (key, value) => return Err(format!("`{key}={value}` is not understood: `db`, `protocol` (2 or 3), `cluster`")),
            }
        }
        Ok(())
    }
}

fn place(host: &str, port: u16) -> Result<Place, String> {
    let wrong = || format!("`{host}` is no host or host:port");
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or_else(wrong)?;
        (address, after.strip_prefix(':').map_or(Some(port), |text| text.parse().ok()))
    } else {
        host.split_once(':').map_or((host, Some(port)), |(name, text)| (name, text.parse().ok()))
    };
    match port {
        Some(port) if !name.is_empty() => Ok(Place::Tcp(decode(name)?, port)),
        _ => Err(wrong()),
    }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is no database number"))
}

fn decode(text: &str) -> Result<String, String> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| "a percent-encoded part of the URL is not UTF-8".into())
}
