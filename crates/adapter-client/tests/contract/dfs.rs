//! A real dfs process of its own: temporary folder, free ports, ended with the test.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use adapter_client::{Account, AdapterChange, AdapterType, Client, Timeouts};
use tokio::sync::OnceCell;

/// The administrator's password at the first start.
pub(crate) const PASSWORD: &str = "admin-password-1";

/// Far beyond what a start takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// No test here is about the speed of a good answer: only a defect reaches these.
pub(crate) const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(60),
    quick: Duration::from_secs(120),
    slow: Duration::from_secs(180),
    restore: Duration::from_secs(31 * 60),
    drain: Duration::from_secs(31 * 60),
};

/// Runs the server until its standard input closes, however this process ends.
const KEEPER: &str = r#"
"$1" start --foreground --config "$2/config.yaml" >"$2/log" 2>&1 </dev/null & pid=$!
read -r word
kill "$pid" 2>/dev/null
wait "$pid"
[ "$word" = keep ] || rm -rf "$2"
"#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Dfs {
    pub(crate) url: String,
    pub(crate) folder: PathBuf,
    keeper: Child,
    life: Option<ChildStdin>,
}

/// What differs from an ordinary server.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Lines below `controlplane:`.
    pub(crate) control_plane: Vec<String>,
    /// Further lines of the configuration.
    pub(crate) sections: Vec<String>,
    /// `https` URLs.
    pub(crate) tls: bool,
}

/// The program: `$DITTOFS_DFS`, which `hack/test` sets, else what the cluster kit
/// has in its cache or builds. There is no test without it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(path) = std::env::var_os("DITTOFS_DFS") {
            return path.into();
        }
        let kit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hack/cluster");
        let output = Command::new(kit)
            .args(["program", "dfs"])
            .stderr(Stdio::inherit())
            .output()
            .unwrap_or_else(|error| panic!("{kit} program dfs: {error}"));
        assert!(output.status.success(), "{kit} program dfs failed");
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}

/// A listener of the loopback, on a port that was not given out before.
pub(crate) fn listener() -> TcpListener {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if !given.contains(&port) {
            given.push(port);
            return listener;
        }
    }
}

/// A TCP port of the loopback that nobody listens on, given out once.
pub(crate) fn free_port() -> u16 {
    listener().local_addr().unwrap().port()
}

/// A new folder for one server.
pub(crate) fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("dfs-contract-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

impl Dfs {
    /// Starts a server and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::with(Options::default(), folder()).await
    }

    /// Starts a server with these options in this folder.
    pub(crate) async fn with(options: Options, folder: PathBuf) -> Self {
        let port = free_port();
        let mut config = format!(
            "logging: {{ level: INFO, format: text, output: stdout }}\n\
             shutdown_timeout: 5s\n\
             database: {{ type: sqlite, sqlite: {{ path: {0}/cp.db }} }}\n\
             snapshot: {{ scheduler_disabled: true }}\n\
             controlplane:\n  host: 127.0.0.1\n  port: {port}\n",
            folder.display()
        );
        if !options
            .control_plane
            .iter()
            .any(|line| line.starts_with("write_timeout"))
        {
            config.push_str("  write_timeout: 5m\n");
        }
        for line in &options.control_plane {
            let _ = writeln!(config, "  {line}");
        }
        for line in &options.sections {
            let _ = writeln!(config, "{line}");
        }
        fs::write(folder.join("config.yaml"), config).unwrap();
        let scheme = if options.tls { "https" } else { "http" };
        let (keeper, life) = keep(&folder, "s");
        let server = Self {
            url: format!("{scheme}://localhost:{port}"),
            folder,
            keeper,
            life: Some(life),
        };
        server.wait_until_open(port).await;
        if !options.tls {
            server.move_adapters().await;
        }
        server
    }

    /// Stops the server and starts it with the same data and another signing secret.
    pub(crate) async fn restart_with_secret(&mut self, letter: &str) {
        if let Some(mut life) = self.life.take() {
            life.write_all(b"keep\n").unwrap();
        }
        self.keeper.wait().unwrap();
        let (keeper, life) = keep(&self.folder, letter);
        (self.keeper, self.life) = (keeper, Some(life));
        let port = self.address().split(':').nth(1).unwrap().parse().unwrap();
        self.wait_until_open(port).await;
    }

    async fn wait_until_open(&self, port: u16) {
        let end = tokio::time::Instant::now() + LIMIT;
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            assert!(
                tokio::time::Instant::now() < end,
                "no server after {LIMIT:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Away from the default ports, which other servers on this machine use too.
    async fn move_adapters(&self) {
        let admin = self.admin();
        for kind in [AdapterType::Nfs, AdapterType::Smb] {
            let change = AdapterChange {
                port: Some(free_port()),
                ..AdapterChange::default()
            };
            admin.adapters().update(&kind, &change).await.unwrap();
        }
    }

    /// The end of what the server wrote.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// A client without an account.
    pub(crate) fn client(&self) -> Client {
        Client::builder(&self.url)
            .timeouts(PATIENT)
            .build()
            .unwrap()
    }

    /// A client that acts as the administrator.
    pub(crate) fn admin(&self) -> Client {
        self.client().with_account(admin_account())
    }

    /// Host and port of the API.
    pub(crate) fn address(&self) -> String {
        self.url.split("//").nth(1).unwrap().to_owned()
    }
}

/// The administrator.
pub(crate) fn admin_account() -> Account {
    Account::new("admin", PASSWORD)
}

fn keep(folder: &Path, secret: &str) -> (Child, ChildStdin) {
    let mut keeper = Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(program())
        .arg(folder)
        .env("DITTOFS_CONTROLPLANE_SECRET", secret.repeat(40))
        .env("DITTOFS_ADMIN_INITIAL_PASSWORD", PASSWORD)
        .env_remove("AWS_CA_BUNDLE")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let life = keeper.stdin.take().unwrap();
    (keeper, life)
}

impl Drop for Dfs {
    fn drop(&mut self) {
        // The keeper reads the end of its input and ends the server.
        self.life.take();
        let _ = self.keeper.wait();
    }
}

/// A server that tests share which leave it as they found it.
pub(crate) async fn shared() -> &'static Dfs {
    static SHARED: OnceCell<Dfs> = OnceCell::const_new();
    SHARED.get_or_init(Dfs::start).await
}
