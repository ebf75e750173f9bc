defmodule ShapeService.Directory do
  @moduledoc "Names of a service's processes."

  @spec processes(ShapeService.service()) :: atom()
  def processes(service), do: :"ShapeService.Processes:#{service}"

  @spec clients(ShapeService.service()) :: atom()
  def clients(service), do: :"ShapeService.Clients:#{service}"

  @spec via(ShapeService.service(), term()) :: GenServer.name()
  def via(service, key), do: {:via, Registry, {processes(service), key}}
end
