defmodule ShapeService.Trace do
  @moduledoc """
  Spans and events. A handler runs in the process that emits the event.
  """

  @type handler :: (String.t(), keyword() -> term())

  @spec attach(ShapeService.service(), handler()) :: :ok
  def attach(service, handler), do: :persistent_term.put({__MODULE__, service}, handler)

  @spec detach(ShapeService.service()) :: boolean()
  def detach(service), do: :persistent_term.erase({__MODULE__, service})

  @spec event(String.t(), keyword()) :: :ok
  def event(name, attrs) do
    case :persistent_term.get({__MODULE__, attrs[:service]}, nil) do
      nil -> :ok
      handler -> handler.(name, attrs)
    end

    :ok
  end

  @doc "Runs `fun` inside a span and gives its result."
  @spec with_span(String.t(), keyword(), (... -> t)) :: t when t: term
  def with_span(name, attrs, fun) do
    started = System.monotonic_time()
    result = fun.()
    event(name, [{:duration, System.monotonic_time() - started} | attrs])
    result
  end
end
