//! Connections of a leader end with its lease.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;

use crate::fence::Fence;

/// Drives connections of the HTTP client, each for as long as the lease has not lapsed: what waited for a connection,
/// or was only in part written when the process was frozen, is not sent by one that wakes too late.
#[derive(Clone)]
pub(crate) struct Connections {
    fence: Option<Fence>,
    inner: TokioExecutor,
}

impl Connections {
    /// Connections that end when this fence has lapsed; without one they do not.
    pub(crate) fn behind(fence: Option<Fence>) -> Self {
        Self {
            fence,
            inner: TokioExecutor::new(),
        }
    }
}

/// A connection, as hyper drives it: it writes only while it is polled.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Executor<Driver> for Connections {
    fn execute(&self, mut driver: Driver) {
        let Some(fence) = self.fence.clone() else {
            self.inner.execute(driver);
            return;
        };
        self.inner.execute(poll_fn(move |context| {
            if fence.has_lapsed() {
                Poll::Ready(())
            } else {
                driver.as_mut().poll(context)
            }
        }));
    }
}
