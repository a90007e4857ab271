// Shows the API with Swagger UI, which can also try it: with the session of the page, or with a key.
"use strict";
const api = document.getElementById("api");
window.SwaggerUIBundle({
  url: "/openapi.json",
  domNode: api,
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  requestInterceptor: (request) => {
    if (api.dataset.csrf && request.method !== "GET") request.headers["X-CSRF-Token"] = api.dataset.csrf;
    return request;
  },
});
