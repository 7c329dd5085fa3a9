//! Who we are: one account, its tokens, and their renewal.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    clock::Clock,
    error::{Error, Refusal},
    users::User,
};

/// Part of a token's life after which it is renewed.
const RENEW_AFTER: f64 = 0.8;

/// How long a token that is still valid is used before its renewal is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// An account of the server. Printing it shows the name alone.
#[derive(Clone)]
pub struct Account {
    /// Name of the user.
    pub username: String,
    /// Its password.
    pub password: SecretString,
}

impl Account {
    /// The account `username` with `password`.
    pub fn new(username: impl Into<String>, password: impl Into<SecretString>) -> Self {
        Self {
            username: username.into(),
            password: password.into(),
        }
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Account")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.username == other.username
            && self.password.expose_secret() == other.password.expose_secret()
    }
}

/// The answer to login, refresh and a change of the own password (server contract 3.4).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Grant {
    pub(crate) access_token: SecretString,
    pub(crate) refresh_token: SecretString,
    /// Seconds.
    pub(crate) expires_in: u64,
    pub(crate) user: User,
}

/// How a session gets its tokens. The client implements it with its transport.
pub(crate) trait Issuer {
    /// With user and password.
    async fn log_in(&self, account: &Account) -> Result<Grant, Error>;

    /// With the refresh token of an earlier grant.
    async fn refresh(&self, account: &Account, token: &SecretString) -> Result<Grant, Error>;
}

/// A token and the number of the grant it came with.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) secret: SecretString,
    pub(crate) grant: u64,
}

struct Held {
    grant: Grant,
    number: u64,
    renew_at: Duration,
    expires_at: Duration,
}

struct State {
    account: Account,
    /// Counts changes of the account: what was begun before one does not count after it.
    epoch: u64,
    held: Option<Held>,
    grants: u64,
    /// Counts ended renewals, successful or not.
    renewals: u64,
    /// How the last renewal failed.
    failure: Option<Error>,
    /// The password was refused: asking again would be refused again.
    refused: Option<Error>,
}

/// One account's tokens, in memory only.
pub(crate) struct Session {
    state: Mutex<State>,
    /// Held by whoever renews; the others wait and use the result.
    renewing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("account", &self.state().account)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(account: Account) -> Self {
        Self {
            state: Mutex::new(State {
                account,
                epoch: 0,
                held: None,
                grants: 0,
                renewals: 0,
                failure: None,
                refused: None,
            }),
            renewing: tokio::sync::Mutex::new(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn account(&self) -> Account {
        self.state().account.clone()
    }

    /// Uses `account` from now on. Nothing happens when it is the present one.
    pub(crate) fn set_account(&self, account: Account) {
        let mut state = self.state();
        if state.account != account {
            state.account = account;
            state.epoch += 1;
            state.held = None;
            state.refused = None;
            state.failure = None;
        }
    }

    /// Lets the next call log in although the password was refused.
    pub(crate) fn forget_refusal(&self) {
        self.state().refused = None;
    }

    /// The user as the server described it with the tokens held now.
    pub(crate) fn user(&self) -> Option<User> {
        self.state()
            .held
            .as_ref()
            .map(|held| held.grant.user.clone())
    }

    /// The server refused this token: it is renewed before it is used again,
    /// unless that has been done already.
    pub(crate) fn refused(&self, grant: u64) {
        let mut state = self.state();
        if let Some(held) = state.held.as_mut().filter(|held| held.number == grant) {
            held.expires_at = Duration::ZERO;
            held.renew_at = Duration::ZERO;
        }
    }

    /// Takes over the tokens and the password of a successful change of the own password.
    pub(crate) fn adopt(&self, grant: Grant, password: SecretString, now: Duration) {
        let mut state = self.state();
        state.account.password = password;
        state.epoch += 1;
        state.refused = None;
        state.hold(grant, now);
    }

    /// A token that is valid now. Renews it when it is due; of many callers one
    /// does that and the others wait for its result, good or bad. While the old
    /// token is valid nobody waits and a failed renewal does no harm.
    pub(crate) async fn token(
        &self,
        issuer: &impl Issuer,
        clock: &dyn Clock,
    ) -> Result<Token, Error> {
        loop {
            let (valid, seen) = {
                let state = self.state();
                match state.token(clock.now())? {
                    Found::Fresh(token) => return Ok(token),
                    Found::Due(token) => (Some(token), state.renewals),
                    Found::None => (None, state.renewals),
                }
            };
            let _renewing = match &valid {
                None => self.renewing.lock().await,
                Some(token) => match self.renewing.try_lock() {
                    Ok(guard) => guard,
                    Err(_) => return Ok(token.clone()),
                },
            };
            {
                let state = self.state();
                if let Found::Fresh(token) = state.token(clock.now())? {
                    return Ok(token);
                }
                if state.renewals != seen
                    && let Some(failure) = &state.failure
                {
                    return valid.ok_or_else(|| failure.clone());
                }
            }
            if let Err(error) = self.renew(issuer, clock).await {
                let final_word =
                    matches!(error, Error::Unauthorized { .. } | Error::Forbidden { .. });
                return match valid {
                    Some(token) if !final_word => Ok(token),
                    _ => Err(error),
                };
            }
        }
    }

    /// One renewal. Must be called with `renewing` held.
    async fn renew(&self, issuer: &impl Issuer, clock: &dyn Clock) -> Result<(), Error> {
        let (account, refresh, epoch) = {
            let state = self.state();
            let refresh = state
                .held
                .as_ref()
                .map(|held| held.grant.refresh_token.clone());
            (state.account.clone(), refresh, state.epoch)
        };
        // The token's life began before its answer arrived.
        let asked = clock.now();
        let result = match refresh {
            Some(token) => match issuer.refresh(&account, &token).await {
                // Expired, or signed with a secret that the server has no longer.
                Err(Error::Unauthorized { .. }) => issuer.log_in(&account).await,
                result => result,
            },
            None => issuer.log_in(&account).await,
        };
        let mut state = self.state();
        if state.epoch != epoch {
            // For an account that is no longer wanted; the next round uses the new one.
            return Ok(());
        }
        state.renewals += 1;
        match result {
            Ok(grant) => {
                state.hold(grant, asked);
                Ok(())
            }
            Err(error) => {
                match &error {
                    Error::Unauthorized {
                        refusal: Refusal::Password,
                        ..
                    } => {
                        state.refused = Some(error.clone());
                        state.held = None;
                    }
                    Error::Forbidden { .. } => state.held = None,
                    _ => {}
                }
                if let Some(held) = state.held.as_mut() {
                    held.renew_at = clock.now().saturating_add(TRY_AGAIN);
                }
                state.failure = Some(error.clone());
                Err(error)
            }
        }
    }
}

enum Found {
    Fresh(Token),
    Due(Token),
    None,
}

impl State {
    fn token(&self, now: Duration) -> Result<Found, Error> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        Ok(match &self.held {
            Some(held) if now < held.expires_at => {
                let token = Token {
                    secret: held.grant.access_token.clone(),
                    grant: held.number,
                };
                if now < held.renew_at {
                    Found::Fresh(token)
                } else {
                    Found::Due(token)
                }
            }
            _ => Found::None,
        })
    }

    fn hold(&mut self, grant: Grant, now: Duration) {
        self.grants += 1;
        self.failure = None;
        // A nonsensical number must neither overflow the clock nor log in without end.
        let life = Duration::from_secs(grant.expires_in.clamp(1, 366 * 24 * 3600));
        self.held = Some(Held {
            number: self.grants,
            renew_at: now + life.mul_f64(RENEW_AFTER),
            expires_at: now + life,
            grant,
        });
    }
}
