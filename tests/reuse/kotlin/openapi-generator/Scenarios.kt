// Does the steps of a scenario and prints, a line each, what the generated client saw.
// README: begin
import org.openapitools.client.apis.UserDataStreamApi
import org.openapitools.client.infrastructure.ApiClient
// README: end
import org.openapitools.client.infrastructure.ApiResponse
import org.openapitools.client.infrastructure.ClientError
import org.openapitools.client.infrastructure.ClientException
import org.openapitools.client.infrastructure.Serializer
import org.openapitools.client.infrastructure.ServerError
import org.openapitools.client.infrastructure.ServerException
import org.openapitools.client.models.BinanceError

typealias Seen = Map<String, Any?>

fun main() {
    val baseUrl = System.getenv("BASE_URL")
    // README: begin
    ApiClient.apiKey["X-MBX-APIKEY"] = System.getenv("BINANCE_API_KEY")
    val api = UserDataStreamApi(basePath = baseUrl)
    // README: end
    val json = Serializer.moshi.adapter(Map::class.java).serializeNulls()
    for (step in System.getenv("STEPS").split(" ")) {
        val seen = try {
            act(api, step)
        } catch (error: ClientException) {
            (error.response as ClientError<*>).let { failure(it, it.body) }
        } catch (error: ServerException) {
            (error.response as ServerError<*>).let { failure(it, it.body) }
        }
        println(json.toJson(seen))
    }
}

fun failure(response: ApiResponse<*>, body: Any?): Seen {
    val error = (body as? String)?.takeIf { it.isNotEmpty() }?.let { Serializer.moshi.adapter(BinanceError::class.java).fromJson(it) }
    val retryAfter = response.headers.entries.find { it.key.equals("Retry-After", ignoreCase = true) }?.value?.firstOrNull()
    return mapOf("error" to true, "status" to response.statusCode, "code" to error?.code, "retryAfter" to retryAfter)
}

fun act(api: UserDataStreamApi, step: String): Seen = when (step) {
    "post" -> {
        // README: begin
        val answer = api.startUserDataStream()
        val key = answer.listenKey
        val expiration = answer.expiration
        // README: end
        mapOf("key" to key, "expiration" to expiration?.toString())
    }
    "put" -> api.keepaliveUserDataStream().let { mapOf("done" to true) }
    else -> api.closeUserDataStream().let { mapOf("done" to true) }
}
