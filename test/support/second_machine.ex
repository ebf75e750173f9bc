defmodule Racefree.SecondMachine do
  @moduledoc """
  Another virtual machine with the code of this one, for what this one should not do: become a node, hold half a million
  processes. It ends with the test.
  """

  @doc "Starts one with further arguments for `erl`. Without `:name` among the options it is no node."
  @spec start([String.t()], keyword()) :: pid()
  def start(arguments \\ [], options \\ []) do
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

    {:ok, machine, _node} =
      :peer.start_link(
        Map.merge(Map.new(options), %{
          connection: :standard_io,
          wait_boot: 60_000,
          args: paths ++ Enum.map(arguments, &String.to_charlist/1)
        })
      )

    machine
  end

  @doc "Runs a function of a module there, which may take its time."
  @spec call(pid(), module(), atom(), [term()]) :: term()
  def call(machine, module, function, arguments),
    do: :peer.call(machine, module, function, arguments, :infinity)

  @doc "Ends it and waits until it has."
  @spec stop(pid()) :: :ok
  def stop(machine), do: :peer.stop(machine)
end
