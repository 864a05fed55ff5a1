//! coturn as a child of this process: its settings written, started, watched by real allocations, started again when it dies, ended
//! with us.
//!
//! It is ended with us even when we are killed, if util-linux's `setpriv --pdeathsig` is there. The kernel means the *thread* that
//! started it, so one thread starts it and stays as long as it lives. coturn keeps nothing that it would have to put away:
//! it is ended with the signal that no program can ignore.

mod output;
mod settings;
mod supervisor;

use std::env;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use ringfence_book::turn_credentials::{TurnSecret, rest_credentials};
use ringfence_daemon::clock::unix_now;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval_at, sleep};
use tracing::warn;

use self::supervisor::{CoturnState, Keeper};
use super::TurnPlan;
use super::probe::{ProbeFault, probe};
use super::service::TurnStartError;

/// The program.
const PROGRAM: &str = "turnserver";

/// How long a start may take, on a machine that has other things to do.
const START_WITHIN: Duration = Duration::from_secs(20);

/// Between two attempts to get the first allocation.
const GLANCE: Duration = Duration::from_millis(100);

/// Between two looks at its health, and how many in a row may fail before it is started again.
const LOOK: Duration = Duration::from_secs(30);
const PATIENCE: u32 = 3;

/// How long the credentials of a look are good for.
const LOOK_CREDENTIALS: Duration = Duration::from_secs(60);

/// "Allocation quota reached" (RFC 8656 section 19): a server that says so is well.
const QUOTA_REACHED: u16 = 486;

/// A coturn that is running, or being started again. Dropping it ends it.
#[derive(Debug)]
pub struct Coturn {
    addr: SocketAddr,
    keeper: Keeper,
    doctor: JoinHandle<()>,
}

impl Coturn {
    /// Whether it can be started on this machine.
    #[must_use]
    pub fn is_installed() -> bool {
        find(PROGRAM).is_some()
    }

    /// Starts it and waits until it has given an allocation.
    ///
    /// # Errors
    /// [`TurnStartError`], with its last words when it ended.
    pub async fn start(plan: TurnPlan) -> Result<Self, TurnStartError> {
        let wanted = plan.listen;
        if wanted.ip().is_unspecified() {
            return Err(TurnStartError::Unspecified(wanted.ip()));
        }
        let program = find(PROGRAM).ok_or(TurnStartError::NoCoturn)?;
        // coturn takes no port 0, and says nothing clear about a taken one.
        let addr = free_port(wanted).map_err(|source| TurnStartError::Listen {
            addr: wanted,
            source,
        })?;
        let secret = plan.secret.clone();
        let keeper = Keeper::hire(program, plan, addr).map_err(TurnStartError::Child)?;
        let mut state = keeper.state();
        first_allocation(addr, &secret, &mut state).await?;
        keeper.forget_settings();
        let doctor = tokio::spawn(look_after(addr, secret, state, keeper.bell()));
        Ok(Self {
            addr,
            keeper,
            doctor,
        })
    }

    /// Where it listens, UDP and TCP.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The number of its process, while it runs.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        match *self.keeper.state().borrow() {
            CoturnState::Running(process) => Some(process),
            CoturnState::Ended(_) => None,
        }
    }

    /// Ends it; it is gone when this returns.
    pub async fn stop(self) {
        let mut state = self.keeper.state();
        self.doctor.abort();
        drop(self.keeper);
        // An error means that its keeper has gone home: so has it.
        while state.changed().await.is_ok() {}
    }
}

/// Waits for the first allocation.
async fn first_allocation(
    addr: SocketAddr,
    secret: &TurnSecret,
    state: &mut watch::Receiver<CoturnState>,
) -> Result<(), TurnStartError> {
    let give_up = Instant::now() + START_WITHIN;
    loop {
        let fault = tokio::select! {
            found = look(addr, secret) => match found {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            },
            ended = state.wait_for(|state| matches!(state, CoturnState::Ended(_))) => {
                let words = ended.map_or_else(|_| String::new(), |state| state.words());
                return Err(TurnStartError::Died(words));
            }
        };
        if Instant::now() >= give_up {
            return Err(TurnStartError::Silent(fault));
        }
        sleep(GLANCE).await;
    }
}

/// Looks at its health now and then, and rings for its keeper when it is not well.
async fn look_after(
    addr: SocketAddr,
    secret: TurnSecret,
    state: watch::Receiver<CoturnState>,
    bell: supervisor::Bell,
) {
    let mut ticks = interval_at((Instant::now() + LOOK).into(), LOOK);
    let mut failed = 0;
    loop {
        ticks.tick().await;
        if !matches!(*state.borrow(), CoturnState::Running(_)) {
            failed = 0;
            continue;
        }
        match look(addr, &secret).await {
            Ok(()) => failed = 0,
            Err(fault) => {
                failed += 1;
                warn!("coturn gives no allocation: {fault} ({failed} of {PATIENCE})");
            }
        }
        if failed >= PATIENCE {
            failed = 0;
            bell.ring();
        }
    }
}

async fn look(addr: SocketAddr, secret: &TurnSecret) -> Result<(), ProbeFault> {
    let credentials =
        rest_credentials(secret, LOOK_CREDENTIALS, unix_now(), &mut UnwrapErr(SysRng));
    match probe(addr, &credentials).await {
        Ok(_) | Err(ProbeFault::Refused(QUOTA_REACHED)) => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The address with a port that is free for UDP and TCP, now.
fn free_port(wanted: SocketAddr) -> std::io::Result<SocketAddr> {
    const ATTEMPTS: usize = 16;
    let mut attempt = 0;
    loop {
        let udp = UdpSocket::bind(wanted)?;
        let addr = udp.local_addr()?;
        match TcpListener::bind(addr) {
            Ok(_) => return Ok(addr),
            Err(error) if wanted.port() != 0 || attempt == ATTEMPTS => return Err(error),
            Err(_) => attempt += 1,
        }
    }
}
