//! Sets Switchboard up as an operator would: an owner, a token, connections over REST, grants for everyone.
//! Authentication, policy and audit are on, as they always are.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{Answer, request};
use super::process::{self, Running, adopt};

const PATIENCE: Duration = Duration::from_secs(60);
const EMAIL: &str = "owner@bench.example";

pub struct Switchboard {
    pub process: Running,
    pub token: String,
    api: String,
    binary: PathBuf,
    data: TempDir,
}

/// The `switchboard` binary beside this one, unless another was named.
pub fn binary(given: Option<&Path>) -> Result<PathBuf, String> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => {
            let own = std::env::current_exe().map_err(|error| format!("cannot find this binary: {error}"))?;
            own.with_file_name("switchboard")
        }
    };
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("there is no {}: build it or name it with --switchboard", path.display()))
    }
}

fn run(binary: &Path, data: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = process::command(binary)
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .output()
        .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "`switchboard {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

fn free_port() -> Result<u16, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

fn create_token(binary: &Path, data: &Path, scopes: &[&str]) -> Result<String, String> {
    let mut arguments = vec!["admin", "create-token", "--email", EMAIL, "--json"];
    for scope in scopes {
        arguments.extend(["--scope", scope]);
    }
    let output = run(binary, data, &arguments)?;
    let created: Value =
        serde_json::from_str(&output).map_err(|error| format!("create-token said {output:?}: {error}"))?;
    created["token"].as_str().map(str::to_owned).ok_or(format!("create-token gave no token: {output}"))
}

fn serve(binary: &Path, data: &Path, extra: &[String]) -> Result<Running, String> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let log = std::fs::File::create(data.join("serve.log")).map_err(|error| error.to_string())?;
    let child = process::command(binary)
        .args(["serve", "--listen", &address, "--allow-private-networks", "--data-dir"])
        .arg(data.join("data"))
        .args(extra)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
    Ok(adopt(child, address))
}

impl Switchboard {
    pub async fn start(binary: &Path, extra: &[String]) -> Result<Self, String> {
        let data = tempfile::Builder::new()
            .prefix("switchboard-bench-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let password_file = data.path().join("password");
        std::fs::write(&password_file, "correct horse battery staple 9000")
            .map_err(|error| error.to_string())?;
        let home = data.path().join("data");
        let password_file = password_file.to_string_lossy().into_owned();
        run(binary, &home, &["admin", "create-owner", "--email", EMAIL, "--password-file", &password_file])?;
        let token = create_token(binary, &home, &["mcp:read", "mcp:write"])?;
        let api = create_token(binary, &home, &["api"])?;
        let process = serve(binary, data.path(), extra)?;
        let switchboard = Self { process, token, api, binary: binary.to_owned(), data };
        switchboard.wait_until_ready().await?;
        Ok(switchboard)
    }

    /// Another process on the same data.
    pub async fn restart(&mut self) -> Result<(), String> {
        self.process.stop();
        self.process = serve(&self.binary, self.data.path(), &[])?;
        self.wait_until_ready().await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.address)
    }

    async fn wait_until_ready(&self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let answer = request("GET", &self.url("/readyz"), None, None).await;
            match answer {
                Ok(answer) if answer.status == 200 => return Ok(()),
                _ if began.elapsed() > PATIENCE => {
                    return Err(format!(
                        "switchboard was not ready after {} s: {answer:?}",
                        PATIENCE.as_secs()
                    ));
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = self.url(&format!("/api/v1{path}"));
        let Answer { status, body } = request(method, &url, Some(&self.api), body).await?;
        if (200..300).contains(&status) {
            return Ok(serde_json::from_slice(&body).unwrap_or(Value::Null));
        }
        Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&body)))
    }

    /// Adds a connection, grants it to everyone and waits until its tools are known.
    pub async fn connect(&self, slug: &str, url: &str, tools: usize) -> Result<(), String> {
        let connection = json!({
            "slug": slug, "name": slug, "url": url, "transport": "streamable_http",
            "auth_type": "none", "credential_mode": "shared",
        });
        let created = self.api("POST", "/connections", Some(&connection)).await?;
        let id = created["id"].as_str().ok_or("the new connection has no id")?.to_owned();
        self.api("PUT", &format!("/connections/{id}/grants"), Some(&json!({"everyone": true}))).await?;
        let began = Instant::now();
        loop {
            let connection = self.api("GET", &format!("/connections/{id}"), None).await?;
            if connection["status"] == "connected" && connection["tools_count"] == json!(tools) {
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("connection {slug} did not become ready: {connection}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A toolkit whose tools are listed one to one.
    pub async fn create_toolkit(&self, slug: &str, patterns: &[String]) -> Result<(), String> {
        let toolkit = json!({"slug": slug, "name": slug, "owner": "organization", "surface": "direct", "patterns": patterns});
        self.api("POST", "/toolkits", Some(&toolkit)).await.map(drop)
    }
}
