// Does the steps of a scenario and prints, a line each, what the generated client saw.
import com.squareup.moshi.JsonDataException
import java.io.IOException
// docs: begin
import org.openapitools.client.apis.UserDataStreamApi
import org.openapitools.client.infrastructure.ApiClient
import org.openapitools.client.infrastructure.Success
// docs: end
import org.openapitools.client.infrastructure.ApiResponse
import org.openapitools.client.infrastructure.ClientError
import org.openapitools.client.infrastructure.Serializer
import org.openapitools.client.infrastructure.ServerError
import org.openapitools.client.models.BinanceError

typealias Seen = Map<String, Any?>

fun main() {
    val baseUrl = System.getenv("BASE_URL")
    // docs: begin
    ApiClient.apiKey["X-MBX-APIKEY"] = System.getenv("BINANCE_API_KEY")
    val http = ApiClient.builder.followRedirects(false).build() // a redirect would carry the API key away
    val api = UserDataStreamApi(baseUrl, http)
    // docs: end
    val json = Serializer.moshi.adapter(Map::class.java).serializeNulls()
    for (step in System.getenv("STEPS").split(" ")) {
        val seen = try {
            act(api, step)
        } catch (_: JsonDataException) { // a 200 without a key
            mapOf("error" to true)
        } catch (_: UnsupportedOperationException) { // a 200 with HTML
            mapOf("error" to true)
        }
        println(json.toJson(seen))
    }
}

fun act(api: UserDataStreamApi, step: String): Seen {
    when (step) {
        "post" -> {
            // docs: begin
            val answer = api.startUserDataStreamWithHttpInfo()
            val started = (answer as? Success)?.data ?: return failure(answer)
            val key = started.listenKey
            val expiration = started.expiration
            // docs: end
            return mapOf("key" to key, "expiration" to expiration?.toString())
        }
        "put" -> {
            // docs: begin
            // A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
            val renewed = api.keepaliveUserDataStreamWithHttpInfo()
            if (renewed !is Success) return failure(renewed)
            // docs: end
        }
        else -> {
            val ended = api.closeUserDataStreamWithHttpInfo()
            if (ended !is Success) return failure(ended)
        }
    }
    return mapOf("done" to true)
}

fun failure(answer: ApiResponse<*>): Seen {
    val body = (answer as? ClientError)?.body ?: (answer as? ServerError)?.body
    val retryAfter = answer.headers.entries.find { it.key.equals("Retry-After", ignoreCase = true) }?.value?.firstOrNull()
    return mapOf("error" to true, "status" to answer.statusCode, "code" to code(body), "retryAfter" to retryAfter)
}

fun code(body: Any?): Int? =
    try {
        (body as? String)?.let { Serializer.moshi.adapter(BinanceError::class.java).fromJson(it) }?.code
    } catch (_: IOException) { // an empty body, or a firewall's page
        null
    } catch (_: JsonDataException) { // JSON, but not Binance's error
        null
    }
