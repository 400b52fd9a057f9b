// What a client of tus asks, and what it is answered: options for tus-js-client and Uppy, and the list that they fill.
export const requests = []

export const recording = {
  onBeforeRequest: (request) => {
    requests.push({ method: request.getMethod(), at: request.getHeader('Upload-Offset') ?? null, status: null, told: null })
  },
  onAfterResponse: (_, response) => {
    Object.assign(requests.at(-1), { status: response.getStatus(), told: response.getHeader('Upload-Offset') ?? null })
  },
}
