//! A PostgreSQL server for the tests of one process: made in a temporary folder, reached by a socket in it, and killed by the kernel
//! when the process ends. PostgreSQL refuses to run as root: then it runs as `nobody`.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Debian's user and group without rights.
const NOBODY: u32 = 65_534;

/// Patience with a server that starts, on a machine that has other things to do.
const READY_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    folder: TempDir,
    databases: AtomicU32,
}

/// The server of this process, started by the first test that needs it. `None`, with a loud message, if it is not installed.
///
/// # Panics
/// In CI (`CI` is set), where nothing may be skipped.
#[expect(
    clippy::print_stderr,
    reason = "the output of the tests must show what was not tested"
)]
pub(crate) fn running() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| programs().map(|programs| Cluster::start(&programs)));
    if cluster.is_none() {
        let why = "PostgreSQL is not installed; tests/run installs everything";
        assert!(std::env::var_os("CI").is_none(), "{why}");
        eprintln!("\n*** SKIPPED with PostgreSQL: {why} ***\n");
    }
    cluster.as_ref()
}

impl Cluster {
    fn start(programs: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
        if is_root(&data) {
            chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = as_nobody(&data, &programs.join("initdb"))
            .args([
                "--auth=trust",
                "--username=book",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .arg("--pgdata")
            .arg(data.join("cluster"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut server = as_nobody(&data, &programs.join("postgres"));
        server.arg("-D").arg(data.join("cluster"));
        // Only clients are killed here, never the machine: nothing is gained by waiting for the disk.
        for setting in ["listen_addresses=", "fsync=off", "max_connections=200"] {
            server.args(["-c", setting]);
        }
        server
            .arg("-k")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // The kernel means the parent *thread* when it kills the orphan; this one lasts as long as the process.
        thread::spawn(move || drop(server.spawn().unwrap().wait()));
        let cluster = Self {
            folder,
            databases: AtomicU32::new(0),
        };
        cluster.wait_until_ready(&programs.join("pg_isready"));
        cluster
    }

    fn wait_until_ready(&self, pg_isready: &Path) {
        let give_up = Instant::now() + READY_WITHIN;
        loop {
            let asked = Command::new(pg_isready)
                .arg("-h")
                .arg(self.folder.path().join("data"))
                .output()
                .unwrap();
            if asked.status.success() {
                return;
            }
            assert!(Instant::now() < give_up, "PostgreSQL does not get ready");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The URL of an empty database.
    pub(crate) fn new_database(&self, runtime: &Runtime) -> String {
        runtime.block_on(self.create_database())
    }

    /// The same for a test that has a runtime.
    pub(crate) async fn create_database(&self) -> String {
        let name = format!("book{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let statement = format!("CREATE DATABASE {name}");
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        let socket = self.folder.path().join("data");
        format!(
            "postgres://book@localhost/{database}?host={}",
            socket.display()
        )
    }
}

fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").ok();
    let debian = debian
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"));
    std::env::split_paths(&path).chain(debian).find(|folder| {
        ["initdb", "postgres", "pg_isready"]
            .iter()
            .all(|name| folder.join(name).is_file())
    })
}

fn is_root(file: &Path) -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(file).unwrap()) == 0
}

fn as_nobody(data: &Path, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(data).unwrap());
    if owner == NOBODY {
        let id = NOBODY.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    }
    command.arg(program).current_dir(data);
    command
}
