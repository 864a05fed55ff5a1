//! coturn as a child process: writes its settings, starts it, checks it by real allocations, restarts it when it dies, and ends it
//! with this process.
//!
//! It also ends when this process is killed, if util-linux's `setpriv --pdeathsig` is there and allowed. To the kernel the parent is the *thread*
//! that started it, so one thread starts it and stays as long as it lives. coturn has nothing to save when it ends, so SIGKILL ends it.

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

use self::supervisor::{CoturnState, CoturnSupervisor, RestartSender};
use super::TurnPlan;
use super::probe::{ProbeFault, probe};
use super::service::TurnStartError;

/// The program.
const PROGRAM: &str = "turnserver";

/// How long a start may take, on a machine that has other things to do.
const START_WITHIN: Duration = Duration::from_secs(20);

/// Between two attempts to get the first allocation.
const RETRY: Duration = Duration::from_millis(100);

/// Between two health checks, and how many in a row may fail before it is restarted.
const HEALTH_CHECK: Duration = Duration::from_secs(30);
const MOST_FAILED: u32 = 3;

/// How long the credentials of a health check are good for.
const CHECK_CREDENTIALS: Duration = Duration::from_secs(60);

/// "Allocation quota reached" (RFC 8656 section 19): a server that answers this is healthy.
const QUOTA_REACHED: u16 = 486;

/// A coturn that is running, or being started again. Dropping it ends it.
#[derive(Debug)]
pub struct Coturn {
    addr: SocketAddr,
    supervisor: CoturnSupervisor,
    health_checks: JoinHandle<()>,
}

impl Coturn {
    /// Whether it can be started on this machine.
    #[must_use]
    pub fn is_installed() -> bool {
        find(PROGRAM).is_some()
    }

    /// Starts it and waits for a first allocation.
    ///
    /// # Errors
    /// [`TurnStartError`], with its last output when it ended.
    pub async fn start(plan: TurnPlan) -> Result<Self, TurnStartError> {
        let wanted = plan.listen;
        if wanted.ip().is_unspecified() {
            return Err(TurnStartError::Unspecified(wanted.ip()));
        }
        let program = find(PROGRAM).ok_or(TurnStartError::NoCoturn)?;
        // coturn accepts no port 0, and reports a port in use unclearly.
        let addr = free_port(wanted).map_err(|source| TurnStartError::Listen {
            addr: wanted,
            source,
        })?;
        let secret = plan.secret.clone();
        let supervisor =
            CoturnSupervisor::start(program, plan, addr).map_err(TurnStartError::Child)?;
        let mut state = supervisor.state();
        first_allocation(addr, &secret, &mut state).await?;
        supervisor.delete_settings();
        let restart = supervisor.restart_sender();
        let health_checks = tokio::spawn(check_health(addr, secret, state, restart));
        Ok(Self {
            addr,
            supervisor,
            health_checks,
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
        match *self.supervisor.state().borrow() {
            CoturnState::Running(process) => Some(process),
            CoturnState::Ended(_) => None,
        }
    }

    /// Ends it; it is gone when this returns.
    pub async fn stop(self) {
        let mut state = self.supervisor.state();
        self.health_checks.abort();
        drop(self.supervisor);
        // An error means that the thread has ended, and coturn before it.
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
            found = check(addr, secret) => match found {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            },
            ended = state.wait_for(|state| matches!(state, CoturnState::Ended(_))) => {
                let output = ended.map_or_else(|_| String::new(), |state| state.output());
                return Err(TurnStartError::Died(output));
            }
        };
        if Instant::now() >= give_up {
            return Err(TurnStartError::Silent(fault));
        }
        sleep(RETRY).await;
    }
}

/// Checks its health now and then, and has it restarted when several checks have failed.
async fn check_health(
    addr: SocketAddr,
    secret: TurnSecret,
    state: watch::Receiver<CoturnState>,
    restart: RestartSender,
) {
    let mut ticks = interval_at((Instant::now() + HEALTH_CHECK).into(), HEALTH_CHECK);
    let mut failed = 0;
    loop {
        ticks.tick().await;
        if !matches!(*state.borrow(), CoturnState::Running(_)) {
            failed = 0;
            continue;
        }
        match check(addr, &secret).await {
            Ok(()) => failed = 0,
            Err(fault) => {
                failed += 1;
                warn!("coturn gives no allocation: {fault} ({failed} of {MOST_FAILED})");
            }
        }
        if failed >= MOST_FAILED {
            failed = 0;
            restart.send();
        }
    }
}

async fn check(addr: SocketAddr, secret: &TurnSecret) -> Result<(), ProbeFault> {
    let credentials = rest_credentials(
        secret,
        CHECK_CREDENTIALS,
        unix_now(),
        &mut UnwrapErr(SysRng),
    );
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
