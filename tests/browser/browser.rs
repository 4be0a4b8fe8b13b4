//! A headless Chromium of its own for each test.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities;
use thirtyfour::{ChromeCapabilities, DesiredCapabilities, LoggingPrefsLogLevel, WebDriver};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::within;

/// How long the page may take to show something. No expectation of speed: it
/// polls every second, and shows means over ten.
const LONGEST: Duration = Duration::from_secs(120);

/// As root, without a sandbox; and without asking anybody for updates.
const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--force-prefers-reduced-motion",
    "--hide-scrollbars",
    "--window-size=1600,1200",
];

/// Says so where there is none, and fails where `CI` is set.
pub fn has_browser() -> bool {
    let missing: Vec<_> = ["chromium", "chromedriver"]
        .into_iter()
        .filter(|name| find(name).is_none())
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(" and no ");
        assert!(
            std::env::var_os("CI").is_none(),
            "there is no {missing}, and CI is set"
        );
        println!("skipped: there is no {missing}");
    }
    missing.is_empty()
}

fn find(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path).map(|folder| folder.join(program));
    let found = found
        .into_iter()
        .find(|file: &std::path::PathBuf| file.is_file());
    found.as_deref().and_then(Path::to_str).map(str::to_owned)
}

/// The page in the browser's one window.
pub struct Page {
    driver: WebDriver,
}

impl Page {
    /// Opens the page for a test, and ends the browser after it, however it ends.
    pub async fn open(url: &str, test: impl AsyncFnOnce(&Self)) {
        let profile = tempfile::tempdir().expect("a new folder");
        let (driver_process, port) = chromedriver().await;
        // To chromedriver, Chromium is a Chrome.
        let mut wanted: ChromeCapabilities = DesiredCapabilities::chrome();
        let chromium = find("chromium").expect("has_browser() was asked");
        wanted.set_binary(&chromium).expect("a path");
        let folder = format!("--user-data-dir={}", profile.path().display());
        for flag in FLAGS.into_iter().chain([folder.as_str()]) {
            wanted.add_arg(flag).expect("a flag");
        }
        wanted
            .set_browser_log_level(LoggingPrefsLogLevel::All)
            .expect("a level");
        let session = WebDriver::new(format!("http://127.0.0.1:{port}"), wanted);
        let driver = within("the browser", session).await.expect("a browser");
        let ended = driver.run_and_quit(async |driver: WebDriver| {
            driver.goto(url).await?;
            test(&Self { driver }).await;
            Ok::<_, thirtyfour::error::WebDriverError>(())
        });
        ended.await.expect("a browser that ends well");
        drop(driver_process);
    }

    /// The value of a JavaScript expression.
    pub async fn eval(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        let value = self.driver.execute(script.as_str(), Vec::new()).await;
        let value = value.unwrap_or_else(|error| panic!("{expression}: {error}"));
        value.json().clone()
    }

    /// Waits until an expression is true.
    pub async fn wait_for(&self, what: &str, expression: &str) {
        let so = async {
            while self.eval(expression).await != Value::Bool(true) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        if tokio::time::timeout(LONGEST, so).await.is_err() {
            let shown = self.eval("document.body.innerText").await;
            panic!("the page never shows {what}: {expression}\n{shown}");
        }
    }

    /// What the browser has logged: errors of the script, refused loads.
    pub async fn console(&self) -> Vec<String> {
        let entries = self.driver.browser_log().await.expect("a log");
        let line = |it: thirtyfour::BrowserLogEntry| format!("{}: {}", it.level, it.message);
        entries.into_iter().map(line).collect()
    }

    /// The page as PNG, this wide and as high as it is.
    pub async fn picture(&self, width: u32) -> Vec<u8> {
        let resize = async |height: u32| {
            let resized = self.driver.set_window_rect(0, 0, width, height).await;
            resized.expect("a window");
        };
        resize(1200).await;
        let height = self.eval("document.documentElement.scrollHeight").await;
        resize(
            height
                .as_u64()
                .expect("a height")
                .try_into()
                .expect("a height"),
        )
        .await;
        // Drawn once more, in its new size.
        let frames = "await new Promise(requestAnimationFrame);".repeat(3);
        let drawn = format!("(async () => {{ {frames} return true; }})()");
        assert_eq!(self.eval(&drawn).await, true);
        self.driver.screenshot_as_png().await.expect("a picture")
    }
}

/// Puts a picture into the folder that `PICTURES` names, if it is set.
pub fn keep(name: &str, png: &[u8]) {
    if let Some(folder) = std::env::var_os("PICTURES") {
        std::fs::write(Path::new(&folder).join(name), png).expect("a file");
    }
}

/// A chromedriver on a port of its own.
async fn chromedriver() -> (Child, u16) {
    let mut command = Command::new("chromedriver");
    command.arg("--port=0").kill_on_drop(true);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("chromedriver starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let port = within("chromedriver's port", async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return port.trim_end_matches('.').parse().expect("a port");
            }
        }
        panic!("chromedriver ended without a port");
    })
    .await;
    // It must not stop for want of a reader.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, port)
}
