//! The end of a child's standard error, for the explanation when it dies.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{io::AsyncReadExt as _, process::ChildStderr, task::AbortHandle};

const KEPT: usize = 4 * 1024;

/// The last 4 KiB a child wrote to standard error.
#[derive(Debug)]
pub struct StderrTail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    follower: AbortHandle,
}

impl StderrTail {
    /// Reads on so that the child never blocks on a full pipe.
    pub(super) fn follow(mut stderr: ChildStderr) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT)));
        let tail = Arc::clone(&kept);
        let follower = tokio::spawn(async move {
            let mut piece = [0; 1024];
            while let Ok(read @ 1..) = stderr.read(&mut piece).await {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                let surplus = (tail.len() + read).saturating_sub(KEPT);
                tail.drain(..surplus);
                tail.extend(&piece[..read]);
            }
        });
        Self { kept, follower: follower.abort_handle() }
    }

    /// As text; what is not UTF-8 is replaced. It comes from a stranger and may hold secrets and control
    /// characters: for the operator's eyes, escaped.
    pub fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = kept.as_slices();
        String::from_utf8_lossy(&[first, second].concat()).into_owned()
    }
}

impl Drop for StderrTail {
    fn drop(&mut self) {
        self.follower.abort();
    }
}
