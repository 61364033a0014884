//! Errors of the HTTP API: `application/problem+json` (RFC 9457) with stable codes.

use crate::error::ErrorKind;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// Why a request was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable name of the problem (`docs/spec/api.md` §4).
    pub code: &'static str,
    /// What sort of trouble; the command line's exit code follows from it.
    pub kind: ErrorKind,
    /// What happened, one sentence.
    pub detail: String,
    /// What to do next, one sentence.
    pub hint: String,
}

/// A problem on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProblemBody {
    /// HTTP status.
    #[serde(default)]
    pub(crate) status: u16,
    /// Short name for people: that of the status.
    #[serde(default)]
    pub(crate) title: String,
    /// Stable name for programs.
    #[serde(default)]
    pub(crate) code: String,
    /// [`ErrorKind`] by its name.
    #[serde(default)]
    pub(crate) kind: String,
    /// What happened.
    #[serde(default)]
    pub(crate) detail: String,
    /// What to do next.
    #[serde(default)]
    pub(crate) hint: String,
}

impl Problem {
    fn new(
        status: StatusCode,
        code: &'static str,
        kind: ErrorKind,
        detail: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            kind,
            detail: detail.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>, hint: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            ErrorKind::Usage,
            detail,
            hint,
        )
    }

    pub(crate) fn not_found(detail: impl Into<String>, hint: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            ErrorKind::NotFound,
            detail,
            hint,
        )
    }

    pub(crate) fn refused(detail: impl Into<String>, hint: &str) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "transaction-refused",
            ErrorKind::Other,
            detail,
            hint,
        )
    }

    pub(crate) fn too_large(len_max: usize) -> Self {
        let detail = format!("the request is larger than {len_max} bytes");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            ErrorKind::Usage,
            detail,
            "send less",
        )
    }

    pub(crate) fn unsupported_media_type(wanted: &str) -> Self {
        let (detail, hint) = (
            format!("the content type must be {wanted}"),
            "set the Content-Type header",
        );
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            ErrorKind::Usage,
            detail,
            hint,
        )
    }

    pub(crate) fn unauthorized() -> Self {
        let hint =
            "send `Authorization: Bearer TOKEN`; the token is in owner.token in the node's data folder";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            ErrorKind::NotAllowed,
            "the owner's token is missing or wrong",
            hint,
        )
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        let hint = "call it as http://127.0.0.1:PORT from this machine, or add the name to api.owner_hosts";
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            ErrorKind::NotAllowed,
            detail,
            hint,
        )
    }

    pub(crate) fn busy(detail: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            ErrorKind::Temporary,
            detail,
            "try again in a second",
        )
    }

    pub(crate) fn timeout() -> Self {
        let detail = "the node did not answer in time";
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            ErrorKind::Temporary,
            detail,
            "try again",
        )
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        let hint = "look into the node's log; nothing was changed";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            ErrorKind::Other,
            detail,
            hint,
        )
    }

    pub(crate) fn conflict(detail: impl Into<String>, hint: &str) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "conflict",
            ErrorKind::Conflict,
            detail,
            hint,
        )
    }

    /// A command's error as an answer.
    pub(crate) fn of_command(error: &crate::error::CommandError) -> Self {
        let hint = error.hint.as_str();
        match error.kind {
            ErrorKind::NotFound => Self::not_found(&error.message, hint),
            ErrorKind::Conflict => Self::conflict(&error.message, hint),
            ErrorKind::Usage => Self::bad_request(&error.message, hint),
            ErrorKind::Other
            | ErrorKind::Temporary
            | ErrorKind::NotAllowed
            | ErrorKind::InsufficientFunds
            | ErrorKind::VerificationFailed
            | ErrorKind::Partial
            | ErrorKind::AddressTaken
            | ErrorKind::Interrupted => Self {
                kind: error.kind,
                hint: hint.to_owned(),
                ..Self::internal(&error.message)
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            code: self.code.to_owned(),
            kind: self.kind.as_str().to_owned(),
            detail: self.detail,
            hint: self.hint,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
