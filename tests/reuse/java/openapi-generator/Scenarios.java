import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.HashMap;
import java.util.Map;
// README: begin
import org.openapitools.client.ApiClient;
import org.openapitools.client.api.UserDataStreamApi;
// README: end
import org.openapitools.client.ApiException;
import org.openapitools.client.model.BinanceError;

/** Does the steps of a scenario and prints, a line each, what the generated client saw. */
final class Scenarios {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] arguments) throws JsonProcessingException {
    String baseUrl = System.getenv("BASE_URL");
    // README: begin
    var client = new ApiClient();
    client.updateBaseUri(baseUrl);
    client.setRequestInterceptor(request -> request.header("X-MBX-APIKEY", System.getenv("BINANCE_API_KEY")));
    var api = new UserDataStreamApi(client);
    // README: end
    for (String step : System.getenv("STEPS").split(" ")) {
      Map<String, Object> seen;
      try {
        seen = act(api, step);
      } catch (ApiException error) {
        seen = failure(error);
      }
      System.out.println(JSON.writeValueAsString(seen));
    }
  }

  private static Map<String, Object> act(UserDataStreamApi api, String step) throws ApiException {
    var seen = new HashMap<String, Object>();
    switch (step) {
      case "post" -> {
        // README: begin
        var answer = api.startUserDataStream();
        String key = answer.getListenKey();
        Long expiration = answer.getExpiration();
        // README: end
        seen.put("key", key);
        seen.put("expiration", expiration == null ? null : expiration.toString());
      }
      case "put" -> seen.put("done", api.keepaliveUserDataStream() != null);
      default -> seen.put("done", api.closeUserDataStream() != null);
    }
    return seen;
  }

  private static Map<String, Object> failure(ApiException error) {
    var seen = new HashMap<String, Object>(Map.of("error", true, "status", error.getCode()));
    error.getResponseHeaders().firstValue("Retry-After").ifPresent(seconds -> seen.put("retryAfter", seconds));
    try {
      seen.put("code", JSON.readValue(error.getResponseBody(), BinanceError.class).getCode());
    } catch (JsonProcessingException notJson) {
      // an empty body, or a firewall's page: the status has to do
    }
    return seen;
  }
}
