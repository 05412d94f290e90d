import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.HashMap;
import java.util.Map;
// docs: begin
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.UserDataStreamApi;
// docs: end
import org.openapitools.client.model.BinanceError;

/** Does the steps of a scenario and prints, a line each, what the generated client saw. */
final class Scenarios {
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] arguments) throws JsonProcessingException {
    String baseUrl = System.getenv("BASE_URL");
    // docs: begin
    var client = new ApiClient();
    client.updateBaseUri(baseUrl);
    client.setRequestInterceptor(request -> request.header("X-MBX-APIKEY", System.getenv("BINANCE_API_KEY")));
    var api = new UserDataStreamApi(client);
    // docs: end
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
        // docs: begin
        var answer = api.startUserDataStream();
        if (answer == null || answer.getListenKey() == null) throw new ApiException("no listen key in the answer");
        String key = answer.getListenKey();
        Long expiration = answer.getExpiration();
        // docs: end
        seen.put("key", key);
        seen.put("expiration", expiration == null ? null : expiration.toString());
      }
      case "put" -> {
        // docs: begin
        // A fresh 60 minutes. The body of a 200, {} or nothing, says nothing.
        api.keepaliveUserDataStream();
        // docs: end
        seen.put("done", true);
      }
      default -> {
        api.closeUserDataStream();
        seen.put("done", true);
      }
    }
    return seen;
  }

  private static Map<String, Object> failure(ApiException error) {
    var seen = new HashMap<String, Object>(Map.of("error", true));
    if (error.getCode() == 0) return seen; // no answer, or a 200 that is not the documented one
    seen.put("status", error.getCode());
    error.getResponseHeaders().firstValue("Retry-After").ifPresent(wait -> seen.put("retryAfter", wait));
    try {
      var body = JSON.readValue(error.getResponseBody(), BinanceError.class);
      if (body != null) seen.put("code", body.getCode());
    } catch (JsonProcessingException notJson) {
      // an empty body, or a firewall's page: the status tells enough
    }
    return seen;
  }
}
