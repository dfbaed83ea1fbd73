//! The filtering proxy of a restricted workspace: a tinyproxy of its own, run as a user of its own, for as long as it runs.
//!
//! What it filters by is the name that is asked for; where that leads is the firewall's matter: packets of the proxy's user to
//! metadata services and private ranges are dropped.
//!
//! Stock images have no tinyproxy, and most machines need none: the first workspace that does has it installed.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ringfence_protocol::state::WorkspaceFailure;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::host;
use crate::workspaces::task::Task;
use crate::workspaces::{EngineError, Voice};

/// Longest wait for a proxy that was started.
const READY_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Before one that ended is started again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const MAX_DOMAINS: usize = 1000;
/// Where a distribution's package or somebody's own build puts it.
const PLACES: [&str; 2] = ["/usr/bin/tinyproxy", "/usr/local/bin/tinyproxy"];
/// The package without the service: a proxy that runs by itself is nobody's.
const INSTALL: &str = "apt-get -qq update && apt-get -qq install -y --no-install-recommends tinyproxy-bin";
/// Longest wait for the package: the lists of a whole distribution may have to come first.
const INSTALLED_WITHIN: Duration = Duration::from_secs(5 * 60);

/// Package managers do not wait for each other.
static INSTALLING: Mutex<()> = Mutex::const_new(());

/// Installs tinyproxy, as a step that shows, where the machine has none.
pub(super) async fn ensure_installed(voice: &Voice) -> Result<(), EngineError> {
    let _alone = INSTALLING.lock().await;
    if PLACES.iter().any(|place| Path::new(place).exists()) {
        return Ok(());
    }
    voice.step("install tinyproxy", install()).await
}

/// By a unit of its own: the agent's cannot write where packages go.
async fn install() -> Result<(), EngineError> {
    let unit = ["--quiet", "--wait", "--pipe", "--collect", "--setenv=DEBIAN_FRONTEND=noninteractive"];
    let mut words = unit.to_vec();
    words.extend(["--setenv=NEEDRESTART_MODE=l", "--", "sh", "-c", INSTALL]);
    let installed = host::run_within("systemd-run", &words, INSTALLED_WITHIN).await;
    installed.map(drop).map_err(|said| unavailable(format!("its package tinyproxy-bin cannot be installed ({said})")))
}

/// A running proxy. Dropping it ends it.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    _supervision: Task,
}

/// Starts a proxy that lets pass these domains and what is under them.
pub(super) async fn start(dir: &Path, user: &str, domains: &[String]) -> Result<Proxy, EngineError> {
    let filter = filter(domains)?;
    let (uid, gid) = ids_of(user)?;
    // The proxy's user reads them; they hold no secret.
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(unavailable)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).map_err(unavailable)?;
    let filter_file = dir.join("filter");
    write_readable(&filter_file, &filter)?;
    let port = free_port().map_err(unavailable)?;
    let config_file = dir.join("tinyproxy.conf");
    write_readable(&config_file, &config(port, &filter_file))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut child = run(&config_file, uid, gid)?;
    wait_for(address, &mut child).await?;
    let supervision = Task::spawn(async move {
        loop {
            let ended = child.wait().await;
            tracing::warn!(?ended, "a filtering proxy has ended and is started again");
            tokio::time::sleep(AGAIN_AFTER).await;
            match run(&config_file, uid, gid) {
                Ok(again) => child = again,
                Err(error) => tracing::error!(%error, "a filtering proxy cannot be started again"),
            }
        }
    });
    Ok(Proxy { address, _supervision: supervision })
}

/// A file that the proxy's user reads, whatever the agent's umask is.
fn write_readable(path: &Path, text: &str) -> Result<(), EngineError> {
    fs::write(path, text).map_err(unavailable)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(unavailable)
}

fn run(config: &Path, uid: u32, gid: u32) -> Result<Child, EngineError> {
    Command::new("setpriv")
        .arg(format!("--reuid={uid}"))
        .arg(format!("--regid={gid}"))
        .args(["--clear-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--pdeathsig=KILL"])
        .args(["--", "tinyproxy", "-d", "-c"])
        .arg(config)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(unavailable)
}

async fn wait_for(address: SocketAddr, child: &mut Child) -> Result<(), EngineError> {
    let deadline = tokio::time::Instant::now() + READY_WITHIN;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(unavailable(format!("tinyproxy ended at once ({status})")));
        }
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(unavailable("tinyproxy does not answer"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One that was free a moment ago: tinyproxy does not say which it chose.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn config(port: u16, filter: &Path) -> String {
    // The path is made of the agent's own words and an identifier: nothing in it needs quoting.
    format!(
        "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 600\nMaxClients 100\nLogLevel Critical\nDisableViaHeader Yes\n\
         FilterDefaultDeny Yes\nFilterExtended On\nFilterURLs Off\nFilterCaseSensitive Off\nFilter \"{}\"\nConnectPort 443\nConnectPort 80\n",
        filter.display()
    )
}

/// One extended regular expression a line: the domain itself and whatever is under it.
fn filter(domains: &[String]) -> Result<String, EngineError> {
    if domains.len() > MAX_DOMAINS {
        return Err(unavailable(format!("more than {MAX_DOMAINS} domains")));
    }
    let mut filter = String::new();
    for domain in domains {
        if !is_domain(domain) {
            return Err(unavailable(format!("{domain:?} is not a domain; write one like example.com")));
        }
        let _ = writeln!(filter, "^([a-z0-9_-]+\\.)*{}$", domain.to_ascii_lowercase().replace('.', "\\."));
    }
    Ok(filter)
}

/// Labels of letters, digits and dashes, and a last one that makes it no address.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_char)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_letters =
        text.rsplit('.').next().is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label) && ends_in_letters
}

/// Numeric ids of a user of this machine; never root's.
fn ids_of(user: &str) -> Result<(u32, u32), EngineError> {
    let passwd = fs::read_to_string("/etc/passwd").map_err(unavailable)?;
    let line = passwd.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':'));
    let mut numbers = line.unwrap_or_default().split(':').skip(1).map(|field| field.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(uid), Some(gid)) if uid != 0 && gid != 0 => Ok((uid, gid)),
        (Some(_) | None, Some(_) | None) => Err(unavailable(format!("this machine has no user {user}"))),
    }
}

fn unavailable(why: impl std::fmt::Display) -> EngineError {
    EngineError::new(
        WorkspaceFailure::ProxyUnavailable,
        format!("The filtering proxy of the restricted network cannot be had: {why}."),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_domain_lets_pass_itself_and_what_is_under_it() {
        let filter = filter(&["Example.com".into(), "a-b.co.uk".into()]).unwrap();
        assert_eq!(filter, "^([a-z0-9_-]+\\.)*example\\.com$\n^([a-z0-9_-]+\\.)*a-b\\.co\\.uk$\n");
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for text in [
            "",
            "com",
            ".com",
            "a..b",
            "*.com",
            "a.com\nb.com",
            "a.com.",
            "169.254.169.254",
            "-a.com",
            "a b.com",
            "a.com/x",
            "0x7f.1",
        ] {
            assert!(filter(&[text.to_owned()]).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_adds_a_line_or_an_operator(text in "[a-zA-Z0-9.\\-*\\\\\n\\[(|^$ ]{0,20}") {
            if let Ok(filter) = filter(std::slice::from_ref(&text)) {
                prop_assert_eq!(filter.lines().count(), 1);
                let pattern = filter.trim_end().trim_start_matches("^([a-z0-9_-]+\\.)*").trim_end_matches('$');
                prop_assert_eq!(pattern.replace("\\.", "."), text.to_ascii_lowercase());
            }
        }
    }
}
