//! HTTP listeners that stand for the APIs of many servers at once: too many for real ones. They only
//! answer, hang or refuse; what a real server says is tried with a real one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::ports::{self, Closed};

/// How a listener behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As a healthy server.
    Answers,
    /// Takes connections and requests, and never answers.
    Hangs,
    /// Nobody listens.
    Refuses,
}

/// The API of one server.
#[derive(Debug)]
pub struct Listener {
    /// Where it is.
    pub address: SocketAddr,
    polls: Arc<Mutex<Vec<Instant>>>,
    life: Life,
}

/// What keeps the address as it is.
#[derive(Debug)]
enum Life {
    Listens(JoinHandle<()>),
    Refuses { _port: Closed },
}

impl Listener {
    /// Starts one.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(manner: Manner) -> Result<Self> {
        let polls = Arc::new(Mutex::new(Vec::new()));
        if manner == Manner::Refuses {
            let port = Closed::at(Ipv4Addr::LOCALHOST.into())?;
            return Ok(Listener {
                address: port.address()?,
                polls,
                life: Life::Refuses { _port: port },
            });
        }
        let listener = ports::listen(Ipv4Addr::LOCALHOST.into())?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let heard = Arc::clone(&polls);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner, Arc::clone(&heard)));
            }
        });
        Ok(Listener {
            address,
            polls,
            life: Life::Listens(task),
        })
    }

    /// How often its adapters were asked for after `since`.
    #[must_use]
    pub fn polls_since(&self, since: Instant) -> usize {
        let polls = self.polls.lock().unwrap_or_else(PoisonError::into_inner);
        polls.iter().filter(|poll| **poll > since).count()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Life::Listens(task) = &self.life {
            task.abort();
        }
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, polls: Arc<Mutex<Vec<Instant>>>) {
    let mut buffer = Vec::new();
    loop {
        let request = loop {
            if let Some(request) = take_request(&mut buffer) {
                break request;
            }
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        if request.contains("/api/v1/adapters ") {
            let mut polls = polls.lock().unwrap_or_else(PoisonError::into_inner);
            polls.push(Instant::now());
        }
        if manner == Manner::Hangs {
            std::future::pending::<()>().await;
        }
        let body = answer(&request).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let sent = stream.write_all(format!("{head}{body}").as_bytes()).await;
        if sent.is_err() {
            return;
        }
    }
}

/// The first line of a request that is there in whole, which is taken out of `buffer`.
fn take_request(buffer: &mut Vec<u8>) -> Option<String> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let end = head + 4 + length.unwrap_or_default();
    if buffer.len() < end {
        return None;
    }
    buffer.drain(..end);
    text.lines().next().map(str::to_owned)
}

fn answer(request: &str) -> Value {
    let past = "2026-01-01T00:00:00Z";
    if request.starts_with("POST /api/v1/auth/") {
        return json!({
            "access_token": "access", "refresh_token": "refresh", "token_type": "Bearer", "expires_in": 900,
            "expires_at": Timestamp::now(), "user": {
                "id": "1", "username": "dittofs-adapter-controller", "role": "operator", "enabled": true,
                "must_change_password": false, "groups": [], "created_at": past, "email": "", "display_name": "",
            },
        });
    }
    let adapter = |kind: &str, port: u16| {
        json!({
            "id": kind, "type": kind, "enabled": true, "running": true, "port": port,
            "created_at": past, "updated_at": past,
            "status": {"status": "healthy", "checked_at": Timestamp::now()},
        })
    };
    json!([adapter("nfs", 12049), adapter("smb", 1445)])
}
