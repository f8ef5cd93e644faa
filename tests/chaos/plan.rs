//! What is done to Postgres and to the server, when: by chance, from a seed.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;

use crate::postgres::Cluster;
use crate::program::Program;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) postgres_kills: usize,
    /// How long Postgres answers nothing, once.
    pub(crate) postgres_hangs: Duration,
    /// Half of them while Postgres is away.
    pub(crate) server_kills: usize,
    /// Between two deeds, on the average.
    pub(crate) pause: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    KillPostgres,
    HangPostgres(Duration),
    KillServer,
    /// The server has to start without Postgres.
    KillBoth,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    pause: Duration,
    deed: Deed,
    /// How long a killed Postgres stays away.
    away: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    steps: Vec<Step>,
}

/// A killed Postgres stays away no longer than this.
const AWAY_MAX: Duration = Duration::from_secs(2);

impl Plan {
    pub(crate) fn new(amount: &Amount, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let both = amount.server_kills / 2;
        let mut deeds = vec![Deed::KillPostgres; amount.postgres_kills - both];
        deeds.extend(vec![Deed::KillServer; amount.server_kills - both]);
        deeds.extend(vec![Deed::KillBoth; both]);
        deeds.push(Deed::HangPostgres(amount.postgres_hangs));
        deeds.shuffle(&mut random);
        let step = |deed| Step {
            pause: amount.pause.mul_f64(random.random_range(0.0..2.0)),
            deed,
            away: AWAY_MAX.mul_f64(random.random()),
        };
        Self { steps: deeds.into_iter().map(step).collect() }
    }

    /// Does all of it and tells when the server was killed. `is_up` tells whether the server can be reached.
    pub(crate) fn carry_out(
        &self,
        cluster: &Cluster,
        program: &mut Program,
        is_up: &watch::Sender<bool>,
    ) -> Vec<Instant> {
        let mut kills = Vec::new();
        let mut kill = |program: &mut Program| {
            is_up.send_replace(false);
            program.kill();
            kills.push(Instant::now());
            program.start();
            is_up.send_replace(true);
        };
        for Step { pause, deed, away } in &self.steps {
            sleep(*pause); // allowed: trouble comes at any moment, and waits for nothing
            match deed {
                Deed::KillPostgres => {
                    cluster.kill();
                    sleep(*away); // allowed: how long Postgres is away
                    cluster.restart();
                }
                Deed::HangPostgres(length) => {
                    cluster.stop_silently();
                    sleep(*length); // allowed: how long Postgres hangs
                    cluster.resume();
                }
                Deed::KillServer => kill(program),
                Deed::KillBoth => {
                    cluster.kill();
                    kill(program);
                    sleep(*away); // allowed: how long Postgres is away
                    cluster.restart();
                }
            }
        }
        kills
    }
}
