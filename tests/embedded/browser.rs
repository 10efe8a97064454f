//! A headless Chromium, driven over its `DevTools` protocol: opens a page, asks it things, hears what it complains
//! about and whom it talks to.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

/// Everything that is waited for must happen within this time.
const DEADLINE: Duration = Duration::from_mins(1);
/// Names that a Chromium goes by, the smallest first.
const NAMES: [&str; 6] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/// A running browser; ends with this value.
pub(crate) struct Browser {
    socket: WebSocket<TcpStream>,
    calls: u64,
    events: Vec<Value>,
    process: Child,
    _profile: TempDir,
}

/// A tab of it.
pub(crate) struct Page {
    browser: Browser,
    session: String,
}

impl Browser {
    /// Starts one. `None`: there is none on this machine, and nobody insists on it.
    ///
    /// # Panics
    /// When there is none although `MOODSTREAM_REQUIRE_BROWSER` is set, as CI does.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = find() else {
            let required = env::var_os("MOODSTREAM_REQUIRE_BROWSER").is_some();
            assert!(!required, "MOODSTREAM_REQUIRE_BROWSER is set, but there is no Chromium; looked for {NAMES:?}");
            // Not `eprintln!`, which the test harness keeps to itself.
            let _ =
                writeln!(io::stderr(), "left out: there is no Chromium here; `make setup` tells how to install one");
            return None;
        };
        let profile = tempfile::Builder::new().prefix("moodstream-browser-").tempdir().expect("a temporary folder");
        let mut process = Command::new(&program)
            .args(["--headless", "--remote-debugging-port=0", "--disable-gpu", "--no-first-run"])
            // It sees nothing but our own page; its sandbox cannot be had by root and in most containers.
            .args(["--no-sandbox", "--disable-dev-shm-usage"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            // A group of its own: what Debian installs is a script that starts the browser and waits for it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        let stderr = process.stderr.take().expect("a pipe");
        let (send, receive) = mpsc::channel();
        let read = move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("DevTools listening on ") {
                    // A test that has given up listens no more; the rest is drained.
                    let _ = send.send(address.to_owned());
                }
            }
        };
        thread::Builder::new().name("browser-output".to_owned()).spawn(read).expect("a thread");
        let address = receive.recv_timeout(DEADLINE).expect("the browser tells its address");
        let host = address.trim_start_matches("ws://").split('/').next().expect("a host");
        let stream = TcpStream::connect(host).expect("the browser listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let (socket, _) = tungstenite::client(address.as_str(), stream).expect("a WebSocket");
        Some(Self { socket, calls: 0, events: Vec::new(), process, _profile: profile })
    }

    /// Opens a page in a window of this size.
    pub(crate) fn open(mut self, url: &str, width: u32, height: u32) -> Page {
        let target = self.call(None, "Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session =
            self.call(None, "Target.attachToTarget", &attach)["sessionId"].as_str().expect("an id").to_owned();
        let mut page = Page { browser: self, session };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        page.resize(width, height);
        page.call("Page.navigate", &json!({"url": url}));
        page
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": params});
        if let Some(session) = session {
            call["sessionId"] = session.into();
        }
        self.socket.send(Message::text(call.to_string())).expect("sent");
        loop {
            let answer = self.socket.read().unwrap_or_else(|error| panic!("no answer to {method}: {error}"));
            let Message::Text(text) = answer else { continue };
            let answer: Value = serde_json::from_str(text.as_str()).expect("JSON");
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.process.id().cast_signed());
        let killed = killpg(group, Signal::SIGKILL);
        let _ = self.process.wait();
        if !thread::panicking() {
            killed.expect("the browser can be ended");
        }
    }
}

impl Page {
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// A window of another size.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What `prefers-color-scheme` says: `light` or `dark`.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &features);
    }

    /// The value of an expression.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &params);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// The text of the elements that a selector names.
    pub(crate) fn texts(&mut self, selector: &str) -> Vec<String> {
        let all = format!("[...document.querySelectorAll({})].map((node) => node.innerText)", json!(selector));
        serde_json::from_value(self.ask(&all)).expect("texts")
    }

    /// The text of the only element that a selector names.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let mut texts = self.texts(selector);
        assert_eq!(texts.len(), 1, "{selector}");
        texts.remove(0)
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait(&mut self, expression: &str) {
        let give_up = Instant::now() + DEADLINE;
        while self.ask(expression) != Value::Bool(true) {
            assert!(
                Instant::now() < give_up,
                "not within {DEADLINE:?}: {expression}\n{}\n{:?}",
                self.ask("document.body.innerText"),
                self.complaints(),
            );
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// What the page, its script and the policy have complained about so far.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // An answer after which everything that happened before it has been told.
        self.ask("0");
        let complaint = |event: &Value| match event["method"].as_str()? {
            "Runtime.exceptionThrown" => Some(event["params"]["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" => Some(event["params"]["args"].to_string()),
            "Log.entryAdded" => Some(event["params"]["entry"].to_string()),
            _ => None,
        };
        self.browser.events.iter().filter_map(complaint).collect()
    }

    /// Every address that the page has asked for so far.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.ask("0");
        let asked = self.browser.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        asked.map(|event| event["params"]["request"]["url"].as_str().expect("an address").to_owned()).collect()
    }
}

/// `MOODSTREAM_BROWSER`, or the first Chromium in the path.
fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os("MOODSTREAM_BROWSER") {
        return Some(named.into());
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let candidates = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.chain(NAMES.iter().map(PathBuf::from).filter(|name| name.is_absolute())).find(|file| Path::is_file(file))
}
