//! The fleet: launches, looks, ends.
//!
//! ```text
//!  launch(slot, generation)
//!    given a moment ago?  -> that one
//!    shown with its tags? -> that one, ended or not
//!    walk: RunInstances ---ok--> that one
//!            ^   '-- error -> verdict -> next, same again, end
//! ```

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_aws::{Aws, AwsError};
use mrpf_ports::{Fleet, FleetError, Instance, InstanceId, InstanceState, LaunchError};
use uuid::Uuid;

use crate::{
    api::{Ec2Api, Launch},
    census::{census, keeper},
    exhausted::{Exhausted, LEFT_ALONE},
    kinds::{self, Kinds},
    launched::{Given, Launched},
    sdk::Sdk,
    token::token,
    verdict::{self, Verdict},
    walk::{Combination, Kind, Step, Walk, combinations},
};

#[cfg(test)]
mod tests;

/// After how long the template is looked at again: its latest version may be another.
const TEMPLATE_IS_FRESH: Duration = Duration::from_secs(10 * 60);

/// What a fleet is to launch, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The name of the launch template, of which the latest version is used.
    pub template: String,
    /// Subnets to launch in, in order; none for the one that the template or EC2 chooses.
    pub subnets: Vec<String>,
    /// The id of the platform, which tells its instances from those of others.
    pub platform: String,
}

/// Instances of Amazon EC2. See the crate.
#[derive(Debug)]
pub struct Ec2Fleet {
    pub(crate) api: Arc<dyn Ec2Api>,
    pub(crate) settings: Settings,
    /// Launches go one after the other: requests are rationed, and what one has learned about room helps the next.
    launching: Mutex<()>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    exhausted: Exhausted,
    launched: Launched,
    /// The types that fit the template's image, and when that was found.
    kinds: Option<(Instant, Vec<Kind>)>,
}

impl Ec2Fleet {
    /// A fleet of the launch template's instances. Looks which types can run its image; where EC2 cannot be asked now, that is
    /// done at the next launch.
    ///
    /// # Errors
    ///
    /// [`FleetError`] when a setting is wrong: there is no such template, say, or we may not look at it.
    pub fn open(aws: &Aws, settings: Settings) -> Result<Self, FleetError> {
        Self::over(Arc::new(Sdk::new(aws)), settings)
    }

    pub(crate) fn over(api: Arc<dyn Ec2Api>, mut settings: Settings) -> Result<Self, FleetError> {
        let empty = |what: &str| Err(FleetError(format!("EC2: {what} is empty")));
        if settings.template.is_empty() {
            return empty("the name of the launch template");
        }
        if settings.platform.is_empty() {
            return empty("the id of the platform");
        }
        let mut seen = Vec::new();
        for subnet in settings.subnets.drain(..) {
            if !seen.contains(&subnet) {
                seen.push(subnet);
            }
        }
        settings.subnets = seen;
        let fleet = Self { api, settings, launching: Mutex::default(), memory: Mutex::default() };
        match fleet.kinds(Instant::now()) {
            Err(error) if verdict::of(&error) == Verdict::Stop => {
                Err(FleetError(error.to_string()))
            }
            _ => Ok(fleet),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // What is in there are single facts, whole whatever panicked.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The types to ask for.
    fn kinds(&self, now: Instant) -> Result<Vec<Kind>, AwsError> {
        if let Some((at, kinds)) = &self.memory().kinds
            && now.saturating_duration_since(*at) < TEMPLATE_IS_FRESH
        {
            return Ok(kinds.clone());
        }
        let found = self.look_at_template()?;
        for line in &found.left_out {
            tracing::warn!(template = self.settings.template, "{line}: it is not asked for");
        }
        self.memory().kinds = Some((now, found.kinds.clone()));
        Ok(found.kinds)
    }

    /// Which types can run the template's image.
    pub(crate) fn look_at_template(&self) -> Result<Kinds, AwsError> {
        let unknown = |why: &str| {
            tracing::warn!(template = self.settings.template, "{why}: no type is left out");
            Ok(Kinds { kinds: kinds::all(), left_out: Vec::new() })
        };
        let Some(template) = self.api.template(&self.settings.template)? else {
            return unknown("it has no version");
        };
        let Some(image) = &template.image else { return unknown("it names no image") };
        let Some(architecture) = self.api.architecture(image)? else {
            return unknown("its image is not to be seen");
        };
        let mut names = kinds::LISTED.to_vec();
        names.push(kinds::own(&template));
        Ok(kinds::fit(&template, &architecture, &self.api.types(&names)?))
    }

    /// What was launched for a slot before, by us or anybody.
    fn find(&self, slot: (u32, u32)) -> Result<Option<String>, LaunchError> {
        if let Some(given) = self.memory().launched.of(slot) {
            return Ok(Some(given.id.clone()));
        }
        let machines = self.api.machines(&self.settings.platform, Some(slot)).map_err(|error| {
            let why = format!("cannot see whether it was launched before: {error}");
            match verdict::of(&error) {
                Verdict::Stop => LaunchError::Refused(why),
                _ => LaunchError::Unknown(why),
            }
        })?;
        let Some(found) = keeper(&machines, slot) else { return Ok(None) };
        let is_ended = found.state() != InstanceState::Live;
        tracing::info!(
            slot = slot.0,
            generation = slot.1,
            instance = found.id,
            "it was launched before"
        );
        self.memory()
            .launched
            .note(slot, Given { id: found.id.clone(), at: Instant::now(), is_ended });
        Ok(Some(found.id.clone()))
    }

    fn walk(&self, slot: (u32, u32)) -> Result<String, LaunchError> {
        let Settings { template, subnets, platform } = &self.settings;
        let now = Instant::now();
        let kinds = self.kinds(now).unwrap_or_else(|error| {
            tracing::warn!(%error, template, "which types fit its image is not known");
            kinds::all()
        });
        let mut walk = {
            let mut memory = self.memory();
            memory.exhausted.begin(combinations(&kinds, subnets).map(|(at, _)| at), now);
            Walk::new(&kinds, subnets, |at| memory.exhausted.holds(at, now))
        };
        let (number, generation) = slot;
        loop {
            let (at, wait) = match walk.step() {
                Step::Try(at, wait) => (at.clone(), wait),
                Step::End(error) => return Err(error),
            };
            thread::sleep(wait);
            let token = token(platform, slot, &at);
            match self.api.run(&Launch { template, at: &at, platform, slot, token }) {
                Ok(id) => {
                    tracing::info!(slot = number, generation, instance = id, %at, "EC2 gave an instance");
                    return Ok(id);
                }
                Err(error) => {
                    let verdict = walk.failed(&error, Uuid::new_v4().as_fields().0);
                    match verdict {
                        Verdict::SubnetMissing | Verdict::Stop => {
                            tracing::error!(slot = number, generation, %at, %error, "a setting is wrong");
                        }
                        _ => {
                            tracing::warn!(slot = number, generation, %at, %error, ?verdict, "no instance")
                        }
                    }
                    if verdict == Verdict::NextCombination {
                        self.memory().exhausted.note(at, Instant::now() + LEFT_ALONE);
                    }
                }
            }
        }
    }

    /// The combination that was asked for with a token.
    fn combination(&self, slot: (u32, u32), wanted: &str) -> Option<Combination> {
        let kinds = kinds::all();
        let mut all = combinations(&kinds, &self.settings.subnets).map(|(at, _)| at);
        all.find(|at| token(&self.settings.platform, slot, at) == wanted)
    }
}

impl Fleet for Ec2Fleet {
    fn launch(&self, slot: u32, generation: u32) -> Result<InstanceId, LaunchError> {
        let _one = self.launching.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = (slot, generation);
        if let Some(id) = self.find(slot)? {
            return Ok(InstanceId(id));
        }
        let id = self.walk(slot)?;
        let given = Given { id: id.clone(), at: Instant::now(), is_ended: false };
        self.memory().launched.note(slot, given);
        Ok(InstanceId(id))
    }

    fn list(&self) -> Result<Vec<Instance>, FleetError> {
        let failed = |error: AwsError| FleetError(error.to_string());
        let machines = self.api.machines(&self.settings.platform, None).map_err(failed)?;
        let (now, time) = (Instant::now(), SystemTime::now());
        let census = {
            let mut memory = self.memory();
            memory.launched.settle(now);
            let census = census(&machines, &memory.launched, now, time);
            for (token, left) in &census.no_room {
                let slots = machines.iter().filter(|it| it.token.as_ref() == Some(token));
                let at = slots.filter_map(|it| it.slot).find_map(|it| self.combination(it, token));
                // It is shown for an hour, and said once.
                let news = at.filter(|at| !left.is_zero() && !memory.exhausted.holds(at, now));
                if let Some(at) = news {
                    tracing::warn!(%at, "an instance was given and taken back: no room");
                    memory.exhausted.note(at, now + *left);
                }
            }
            census
        };
        for (id, why) in &census.end {
            match self.api.terminate(id) {
                Ok(()) => tracing::warn!(instance = id, why, "ended"),
                Err(error) => tracing::error!(instance = id, why, %error, "cannot be ended"),
            }
        }
        Ok(census.instances)
    }

    fn terminate(&self, id: &InstanceId) -> Result<(), FleetError> {
        match self.api.terminate(&id.0) {
            Ok(()) => {
                self.memory().launched.end(&id.0);
                Ok(())
            }
            Err(error) => match verdict::code(&error) {
                // It is not known to EC2 yet, and will be.
                Some("InvalidInstanceID.NotFound") if self.memory().launched.is_fresh(&id.0) => {
                    Err(FleetError(format!("{error}; it was launched a moment ago: again later")))
                }
                Some("InvalidInstanceID.NotFound" | "InvalidInstanceID.Malformed") => Ok(()),
                _ => Err(FleetError(error.to_string())),
            },
        }
    }
}
