//! A proxy that passes bytes to the real server and spoils what it is told to.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::dfs;

/// What happens to the answer of a request whose path contains a given text.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This answer in place of the server's; the request does not reach it.
    Answer(Vec<u8>),
    /// The server's answer, changed.
    Change(fn(String) -> String),
    /// The first so many bytes of the server's answer, then the connection ends.
    Cut(usize),
    /// The request reaches the server and the connection ends without an answer.
    Swallow,
    /// Nothing for so long, then the server's answer.
    Delay(Duration),
    /// The connection ends at once; the server sees nothing.
    Reset,
}

#[derive(Debug)]
struct Rule {
    path: String,
    left: usize,
    fault: Fault,
}

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) url: String,
    rules: Arc<Mutex<Vec<Rule>>>,
    connections: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// A proxy for the server at `address`.
    pub(crate) async fn before(address: String) -> Self {
        let listener = dfs::listener();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rules: Arc<Mutex<Vec<Rule>>> = Arc::default();
        let connections: Arc<Mutex<usize>> = Arc::default();
        let (passed, counted) = (rules.clone(), connections.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let (rules, address) = (passed.clone(), address.clone());
                tokio::spawn(async move {
                    // The end of a connection is what is tested, not an error of the proxy.
                    let _ = serve(client, address, rules).await;
                });
            }
        });
        Self {
            url,
            rules,
            connections,
            task,
        }
    }

    /// Spoils the next `times` requests whose path contains `path`.
    pub(crate) fn spoil(&self, path: &str, times: usize, fault: Fault) {
        self.rules.lock().unwrap().push(Rule {
            path: path.into(),
            left: times,
            fault,
        });
    }

    /// How often a rule is still waiting for its request.
    pub(crate) fn left(&self) -> usize {
        self.rules
            .lock()
            .unwrap()
            .iter()
            .map(|rule| rule.left)
            .sum()
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// An answer with this status, content type, further header lines and body.
pub(crate) fn answer(status: &str, kind: &str, headers: &str, body: &str) -> Fault {
    Fault::Answer(
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

async fn serve(
    mut client: TcpStream,
    address: String,
    rules: Arc<Mutex<Vec<Rule>>>,
) -> std::io::Result<()> {
    loop {
        let Some(request) = message(&mut client).await? else {
            return Ok(());
        };
        let line = String::from_utf8_lossy(&request);
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let fault = {
            let mut rules = rules.lock().unwrap();
            let rule = rules
                .iter_mut()
                .find(|rule| rule.left > 0 && path.contains(&rule.path));
            rule.map(|rule| {
                rule.left -= 1;
                rule.fault.clone()
            })
        };
        let ends = match &fault {
            Some(Fault::Answer(bytes)) => {
                client.write_all(bytes).await?;
                continue;
            }
            Some(Fault::Reset) => return Ok(()),
            Some(Fault::Cut(_) | Fault::Swallow) => true,
            _ => false,
        };
        let mut server = TcpStream::connect(&address).await?;
        server.write_all(&request).await?;
        let mut bytes = message(&mut server).await?.unwrap_or_default();
        match fault {
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Cut(length)) => bytes.truncate(length),
            Some(Fault::Swallow) => bytes.clear(),
            Some(Fault::Change(change)) => bytes = changed(&bytes, change),
            _ => {}
        }
        client.write_all(&bytes).await?;
        if ends {
            return Ok(());
        }
    }
}

/// The answer with its body changed and its length set right.
fn changed(bytes: &[u8], change: fn(String) -> String) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let body = change(body.to_owned());
    let head: Vec<&str> = head
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("content-length"))
        .collect();
    format!(
        "{}\r\nContent-Length: {}\r\n\r\n{body}",
        head.join("\r\n"),
        body.len()
    )
    .into_bytes()
}

/// One whole HTTP message with a known length; `None` at the end of the connection.
async fn message(stream: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        if let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map_or(0, |value| value.trim().parse().unwrap());
            if text.contains("transfer-encoding: chunked") {
                if bytes.ends_with(b"0\r\n\r\n") {
                    return Ok(Some(bytes));
                }
            } else if bytes.len() >= head + 4 + length {
                return Ok(Some(bytes));
            }
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
