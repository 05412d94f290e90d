//! Does the steps of a scenario and prints, a line each, what the generated client saw.

use progenitor_client::Error;
use serde_json::{Value, json};
use std::env::var;

// README: begin
use reqwest::header::{HeaderMap, HeaderValue};
mod binance {
    progenitor::generate_api!("openapi.yaml");
}
// README: end

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let base_url = var("BASE_URL")?;
    // README: begin
    let mut api_key = HeaderValue::from_str(&var("BINANCE_API_KEY")?)?;
    api_key.set_sensitive(true);
    let headers = HeaderMap::from_iter([("X-MBX-APIKEY".parse()?, api_key)]);
    let http = reqwest::Client::builder()
        .default_headers(headers)
        .build()?;
    let client = binance::Client::new_with_client(&base_url, http);
    // README: end
    for step in var("STEPS")?.split(' ') {
        let seen = match step {
            "post" => start(&client).await.map(|(key, expiration)| {
                json!({"key": key, "expiration": expiration.map(|ms| ms.to_string())})
            }),
            "put" => client.keepalive_user_data_stream().await.map(|_| json!({"done": true})),
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
    // README: begin
    let answer = client.start_user_data_stream().await?;
    let (key, expiration) = (answer.listen_key.to_string(), answer.expiration);
    // README: end
    Ok((key, expiration))
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
