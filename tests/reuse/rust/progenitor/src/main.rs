//! Does the steps of a scenario and prints, a line each, what the generated client saw.

use progenitor_client::Error;
use serde_json::{Value, json};
use std::env::var;

// docs: begin
use progenitor_client::{ClientHooks, ClientInfo, OperationInfo};
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
mod binance {
    progenitor::generate_api!("openapi.yaml");
}

/// Keeps status and headers of an error whose body is not Binance's (none at all, a firewall's page): the generated client
/// would lose both. `code` is 0 then.
impl ClientHooks for binance::Client {
    async fn exec(
        &self,
        request: reqwest::Request,
        _: &OperationInfo,
    ) -> reqwest::Result<reqwest::Response> {
        let response = self.client().execute(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = response.bytes().await?;
        if serde_json::from_slice::<binance::types::BinanceError>(&body).is_err() {
            body = r#"{"code": 0, "msg": "The body is not Binance's."}"#.into();
        }
        let mut answer = http::Response::new(body);
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer.into())
    }
}

// docs: end
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base_url = var("BASE_URL")?;
    // docs: begin
    let mut api_key = HeaderValue::from_str(&var("BINANCE_API_KEY")?)?;
    api_key.set_sensitive(true);
    let headers = HeaderMap::from_iter([("X-MBX-APIKEY".parse()?, api_key)]);
    let http = reqwest::Client::builder()
        .default_headers(headers)
        .redirect(Policy::none()) // a redirect would carry the API key away
        .build()?;
    let client = binance::Client::new_with_client(&base_url, http);
    // docs: end
    for step in var("STEPS")?.split(' ') {
        let seen = match step {
            "post" => start(&client).await.map(|(key, expiration)| {
                json!({"key": key, "expiration": expiration.map(|ms| ms.to_string())})
            }),
            "put" => keepalive(&client).await.map(|()| json!({"done": true})),
            "delete" => client.close_user_data_stream().await.map(|_| json!({"done": true})),
            other => return Err(format!("no such step: {other}").into()),
        };
        println!("{}", seen.unwrap_or_else(self::seen));
    }
    Ok(())
}

async fn start(
    client: &binance::Client,
) -> Result<(String, Option<i64>), Error<binance::types::BinanceError>> {
    // docs: begin
    let answer = client.start_user_data_stream().await?;
    let (key, expiration) = (answer.listen_key.to_string(), answer.expiration);
    // docs: end
    Ok((key, expiration))
}

async fn keepalive(client: &binance::Client) -> Result<(), Error<binance::types::BinanceError>> {
    // docs: begin
    // A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
    client.keepalive_user_data_stream().await?;
    // docs: end
    Ok(())
}

fn seen(error: Error<binance::types::BinanceError>) -> Value {
    let status = error.status().map(|s| s.as_u16());
    match error {
        Error::ErrorResponse(answer) => json!({
            "error": true,
            "status": status,
            "code": answer.code,
            "retryAfter": answer.headers().get("Retry-After").and_then(|v| v.to_str().ok()),
        }),
        _ => json!({"error": true, "status": status}),
    }
}
