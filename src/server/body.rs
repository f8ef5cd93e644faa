//! Bodies of requests whose signature is not known yet: copied into one buffer, within bounds.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::connection::{Evicted, Slot};
use super::error::Error;

/// The largest body. A voice request has about 1 KiB; what add-ons say of a caller, and SIP headers, come on top.
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// From the header section to the end of the body, which is under way by then.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The sizes of the buffer, which grows with what has come.
const STEPS: [usize; 5] = [1024, 4 * 1024, FREE_BYTES, 64 * 1024, BYTES_MAX];

/// A buffer of this size costs the budget nothing: the number of connections bounds them.
const FREE_BYTES: usize = 16 * 1024;

/// What all larger bodies together may take, in KiB.
const BUDGET_KIB: usize = 16 * 1024;

/// What bodies may take that nobody has vouched for yet.
#[derive(Debug)]
pub(super) struct Budget(Semaphore);

/// A whole body, with its part of the budget.
#[derive(Debug)]
pub(super) struct Read<'a> {
    pub(super) bytes: Vec<u8>,
    /// Held until the body is dropped.
    reserved: Option<SemaphorePermit<'a>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Semaphore::new(BUDGET_KIB))
    }
}

impl Budget {
    /// Reads the body of the request that comes on a connection to its end.
    pub(super) async fn read(&self, body: Body, slot: Option<&Slot>) -> Result<Read<'_>, Error> {
        timeout(TIMEOUT, self.copy(body, slot)).await.unwrap_or(Err(Error::BodyTimeout))
    }

    async fn copy(&self, mut body: Body, slot: Option<&Slot>) -> Result<Read<'_>, Error> {
        let mut read = Read { bytes: Vec::new(), reserved: None };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            // Trailers say nothing that is needed. A frame keeps the buffer alive that it came in: it is dropped at once.
            let Ok(data) = frame.into_data() else { continue };
            let length = read.bytes.len() + data.len();
            if length > read.bytes.capacity() {
                let step = STEPS.into_iter().find(|step| *step >= length).ok_or(Error::BodyTooLarge)?;
                if step > FREE_BYTES {
                    read.reserved = Some(self.reserve(step, slot).await?);
                }
                read.bytes.reserve_exact(step - read.bytes.len());
            }
            read.bytes.extend_from_slice(&data);
        }
        Ok(read)
    }

    /// Takes room from the budget; from the oldest of the other large bodies if there is none.
    async fn reserve(&self, bytes: usize, slot: Option<&Slot>) -> Result<SemaphorePermit<'_>, Error> {
        let kib = u32::try_from(bytes / 1024).map_err(|_| Error::BodyTooLarge)?;
        let permit = match self.0.try_acquire_many(kib) {
            Ok(permit) => permit,
            Err(_) => {
                if let Some(slot) = slot {
                    slot.make_others_release(kib);
                }
                self.0.acquire_many(kib).await.map_err(|_| Error::BodyTimeout)?
            }
        };
        if let Some(slot) = slot {
            slot.hold(kib);
        }
        Ok(permit)
    }
}

/// Why a body did not come to its end.
fn broken(error: &axum::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<Evicted>()) {
            return Error::Evicted;
        }
        cause = error.source();
    }
    Error::BodyUnreadable
}
